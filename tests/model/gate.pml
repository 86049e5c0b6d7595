/* gate.pml: who may touch a loop when the program ends (contract E1, E3, E12; src/event/gate.h, gate.c, end.c, loop.c).
 *
 * A loop's thread goes in and out: it touches what the loop has, and runs callbacks outside, which may not come back. It
 * writes `place` and reads exit_begun, the thread that ends the program does it the other way round, and between the
 * two each needs a barrier. The loop's has none: what it writes lies in a buffer (as x86 has it, in order) until the processor gets
 * to it, or until the other thread's membarrier. Then the peers are told by the exiting thread; then a handler of the
 * program's waits for the loop's thread, which comes to its end if the program lets it.
 *
 * Checked: never are both inside; nobody waits for ever but for a callback that does not come back; the peers are told,
 * unless the loop's thread is stuck inside (in a log of the user's, say).
 *
 * variants: STRICT OWN_THREAD
 * mutants: NO_BARRIER NO_LOOK LOOKS_BEFORE TOUCHES_BUSY WAITS_FOR_STUCK GOES_ON_EARLY PARKED IDLES_INSIDE */

#define OUT 0
#define IN  1

byte place = OUT;             /* as memory has it */
chan buffer = [3] of { byte } /* written by the loop's thread, not yet there */
bool exit_begun, exit_over, told;
bool inside, touching;        /* the loop's thread, the exiting one */
bool stuck_inside, stuck_outside, ended;

/* ---- the loop's thread ---- */
inline write(value)
{
    buffer!value
}

inline fence()
{
    empty(buffer)
}

inline stay_out()
{
    write(OUT);
#ifdef MUTANT_GOES_ON_EARLY
    skip;
#else
#ifdef MUTANT_PARKED
    false;
#else
    exit_over;
#endif
#endif
    write(IN);
    fence()
}

inline gate_in()
{
    write(IN);
#ifdef STRICT
    fence();
#endif
    if
#ifndef MUTANT_NO_LOOK
    :: exit_begun -> stay_out()
#endif
#ifdef MUTANT_NO_LOOK
    :: true
#else
    :: !exit_begun
#endif
    fi
}

inline gate_out()
{
    write(OUT)
}

inline touch()
{
    inside = true;
    assert(!touching);
    inside = false
}

proctype loop_thread()
{
    byte turns = 2;
    gate_in();
    do
    :: turns > 0 ->
        turns--;
        if
        :: exit_begun -> /* idle */
#ifdef MUTANT_IDLES_INSIDE
            exit_over
#else
            gate_out();
            gate_in()
#endif
        :: !exit_begun ->
            touch();
            if
            :: stuck_inside = true; goto over
            :: true
            fi;
            gate_out(); /* a callback, or the wait for events */
            if
            :: stuck_outside = true; goto over
            :: true
            fi;
            gate_in();
            touch()
        fi
    :: else -> break
    od;
    gate_out();
    ended = true;
over:
    skip
}

/* What was written gets to memory some time. */
active proctype memory()
{
    byte value;
end:
    do
    :: atomic { buffer?value -> place = value }
    od
}

/* ---- the one that ends the program ---- */
inline barrier()
{
#if !defined(STRICT) && !defined(MUTANT_NO_BARRIER)
    atomic {
        do
        :: nempty(buffer) -> buffer?place
        :: else -> break
        od
    }
#endif
    skip
}

inline tell()
{
    if
#ifdef MUTANT_TOUCHES_BUSY
    :: true ->
#else
    :: place == OUT ->
#endif
        touching = true;
        assert(!inside);
        told = true;
        touching = false
#ifndef MUTANT_WAITS_FOR_STUCK
    :: stuck_inside /* its tries are over */
#endif
    fi
}

proctype exiter()
{
#ifdef MUTANT_LOOKS_BEFORE
    bool was_out;
    barrier();
    was_out = (place == OUT);
    exit_begun = true;
    if
    :: was_out -> touching = true; assert(!inside); told = true; touching = false
    :: else -> tell()
    fi;
#else
    exit_begun = true;
    barrier();
    tell();
#endif
    exit_over = true;
    (ended || stuck_inside || stuck_outside);
    assert(told || stuck_inside)
}

#ifdef OWN_THREAD
/* exit inside a callback: place says OUT, and so it stays; what handlers of the program's call passes the gate. */
proctype own_thread()
{
    write(IN);
    touch();
    gate_out();
    exit_begun = true;
    fence(); /* exit_begun is written as a locked instruction */
    tell();
    exit_over = true;
    touch();
    assert(told)
}
#endif

init
{
    atomic {
#ifdef OWN_THREAD
        run own_thread()
#else
        run loop_thread(); run exiter()
#endif
    }
}
