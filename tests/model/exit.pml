/* exit.pml: exit under fire (contract E1, E3, E12; src/conn/registry.c, src/base/exit.c, src/block/life.c).
 *
 * One connection with two handles: a sender, whose frames go out in two pieces with the lock given back in between, and a
 * thread that frees its handle at any time; a thread that walks the registry with blocking locks (warden_sweep); the
 * warden; and a thread that takes one of the two locks and never gives it back, which is what a lock looks like that
 * the exiting thread itself holds (exit called in a callback) or whose holder gets no processor. At any time
 * somebody calls exit; when its handlers have returned, the process is gone with all of its threads.
 *
 * Checked: no deadlock without exit, and with it the process is gone, whoever holds what; nothing is touched after it was freed; Close is written between
 * frames only, and once; it is written where the locks could be had.
 *
 * mutants: HOOK_WAITS HOOK_FREES FREES_LISTED CLOSE_CUTS_IN LOCKS_CROSSED SAYS_TWICE FREES_HELD */

#define FREE 255
#define IN_FRAME (frame == 1)

byte registry = FREE, lock = FREE; /* who holds them */
bool listed = true, freed, dropped;
byte handles = 2, inside;
byte frame;  /* 1: half of one is written */
byte said;   /* Closes on the wire */
bool begun;  /* exit_begun */
bool fire = true; /* exit comes while others are at work; else after them */
byte done;
bool gone;       /* the process */
bool held = true; /* the warden knows the connection */

#define EXITER  0
#define SENDER  1
#define FREER   2
#define SWEEPER 3
#define KEEPER  4
#define THE_WARDEN 5

inline take(l, me)
{
    if
    :: atomic { !gone && l == FREE -> l = me }
    :: gone -> goto over
    fi
}

inline give(l, me)
{
    atomic { assert(l == me); l = FREE }
}

inline touch()
{
    assert(!freed)
}

/* block_unlock with conn_done: out of the list first, freed afterwards, no lock held in between */
inline unlock_conn(me)
{
    atomic {
        touch();
#ifdef MUTANT_FREES_HELD
        over_now = (handles == 0 && inside == 0 && !freed);
#else
        over_now = (handles == 0 && inside == 0 && !held);
#endif
#ifndef MUTANT_LOCKS_CROSSED
        lock = FREE
#endif
    }
    if
    :: over_now ->
#ifdef MUTANT_FREES_LISTED
        freed = true;
        take(registry, me);
        listed = false;
#else
        take(registry, me);
        listed = false;
#endif
        give(registry, me);
#ifdef MUTANT_LOCKS_CROSSED
        lock = FREE;
#endif
        freed = true
    :: else
#ifdef MUTANT_LOCKS_CROSSED
       -> lock = FREE
#endif
    fi
}

/* conn_goodbye: with the lock */
inline goodbye()
{
    touch();
    if
#ifdef MUTANT_CLOSE_CUTS_IN
    :: !dropped ->
#else
    :: !dropped && !IN_FRAME -> /* else it is queued behind the frame, and the kernel takes no more just now */
#endif
        assert(!IN_FRAME);
#ifdef MUTANT_SAYS_TWICE
        said++;
#else
        said = (said == 0 -> 1 : said);
#endif
        assert(said == 1)
    :: else
    fi
}

proctype sender()
{
    bool over_now;
    byte rounds = 2;
    take(lock, SENDER);
    inside++;
    do
    :: rounds > 0 && !dropped ->
        rounds--;
        if
        :: said == 0 && frame == 0 -> frame = 1
        :: else
        fi;
        give(lock, SENDER); /* the poll */
        take(lock, SENDER);
        touch();
        frame = 0
    :: else -> break
    od;
    atomic { inside--; handles-- }
    unlock_conn(SENDER);
over:
    done++
}

proctype freer()
{
    bool over_now;
    take(lock, FREER);
    touch();
    handles--;
    if
    :: handles == 0 -> goodbye(); dropped = true
    :: else
    fi;
    unlock_conn(FREER);
over:
    done++
}

proctype sweeper()
{
    take(registry, SWEEPER);
    if
    :: listed ->
        take(lock, SWEEPER);
        touch();
        give(lock, SWEEPER)
    :: else
    fi;
    give(registry, SWEEPER);
over:
    done++
}

proctype keeper()
{
    if
    :: take(lock, KEEPER)
    :: take(registry, KEEPER)
    fi;
over:
    skip
}

/* It serves the connection, lets go of it once that is dropped, and parks when exit has begun. */
proctype warden()
{
    bool over_now;
    byte rounds = 2;
    do
    :: rounds > 0 && !begun ->
        rounds--;
        take(lock, THE_WARDEN);
        touch();
        if
        :: dropped -> held = false; rounds = 0
        :: else /* it reads */
        fi;
        unlock_conn(THE_WARDEN)
    :: else -> break
    od;
over:
    done++
}

/* The hook. It may give a lock up only while that is held by another: its tries are bounded by time. */
proctype exiter()
{
    fire || done == 4;
    begun = true;
#ifdef MUTANT_HOOK_WAITS
    registry == FREE;
#endif
    if
    :: atomic { registry == FREE -> registry = EXITER }
    :: registry != FREE -> goto away
    fi;
    if
    :: listed ->
        touch();
        if
        :: atomic { lock == FREE -> lock = EXITER }
            goodbye();
            assert(said == 1 || IN_FRAME || dropped);
            give(lock, EXITER)
#ifdef MUTANT_HOOK_WAITS
        :: false
#else
        :: lock != FREE
#endif
        fi;
#ifdef MUTANT_HOOK_FREES
        freed = true;
        listed = false
#endif
    :: else
    fi;
    give(registry, EXITER);
away:
    gone = true;
}

init
{
    atomic {
        if
        :: run keeper()
        :: true
        :: fire = false
        fi;
        run sender(); run freer(); run sweeper(); run warden(); run exiter()
    }
    (gone)
}
