/* role.pml: one connection, its reader role, and the calls that wait on it (src/block/wait.c, send.c, close.c).
 *
 * Two threads in recv, in send, or one in each; one that closes (and waits for it, as thrum_close does, or leaves, as a server's drain
 * does); a peer that sends two messages, reads as much as it likes and answers Close or not; pthread_cancel of one
 * thread in its poll; the warden, which serves when nobody is inside. A critical section is one atomic step. A poll
 * ends by what it polls for, by the thread's eventfd, or by a time that was known when it began; there is no other way out.
 *
 * Checked: one reader at a time; whole frames, no Close inside one (E3); a cancelled thread leaves role and turn
 * free (E10); the connection ends and every call returns, whatever the peer does (E4): no deadlock.
 *
 * variants: TWO_SENDERS TWO_RECEIVERS
 * mutants: ROLE_UNLOCKED NO_HANDOVER DEADLINE_UNSEEN CANCEL_KEEPS_ROLE CANCEL_KEEPS_TURN CLOSE_CUTS_IN */

#define A0 0 /* in recv; with TWO_SENDERS in send */
#define B0 1 /* in send; with TWO_RECEIVERS in recv */
#define C0 2 /* in close */
#define N  3 /* calls */

#define NOBODY 0
#define CALLER 1
#define WARDEN 2

#define OPEN    0
#define CLOSING 1
#define ENDED   2

#define NONE    0
#define QUEUED  1
#define BEGUN   2
#define WRITTEN 3

#define MESSAGE   1
#define TURN      2
#define WRITE_OUT 3
#define END       4

byte reader = NOBODY;
byte inside;
byte returned; /* calls */
byte state = OPEN;
bool turn;          /* a message is being sent */
byte frame;         /* its frame in the outbox */
byte frame_by = N;  /* whose memory it borrows */
byte closing_frame; /* our Close */
byte q;             /* messages received and not taken; HIGH of them pause reading */
bool deadline;      /* the proto has a time by which the closing must be over */
bool noticed;       /* the warden knows the connection */

bool waits[N], reads[N], woken[N], rung[N], pin[N], pout[N], timed[N], cancelled[N];
byte want[N], result[N];

byte arrived;     /* messages in the socket */
bool answered;    /* the peer's Close and end of stream are in it */
bool room = true; /* the kernel takes a frame */

#define HIGH      1
#define WANTS_IN  (state != ENDED && q < HIGH)
#define WANTS_OUT (state != ENDED && (frame == QUEUED || frame == BEGUN || closing_frame == QUEUED))
#define READABLE  (arrived > 0 || answered)
#define IS_THERE(i)                                                                                                    \
    ((want[i] == MESSAGE && q > 0) || (want[i] == TURN && !turn) ||                                                    \
     (want[i] == WRITE_OUT && !(frame_by == i && (frame == QUEUED || frame == BEGUN))) ||                              \
     (want[i] == END && state == ENDED))

/* conn_write: what the kernel takes; it may take a part of a frame. */
inline put()
{
    do
    :: state != ENDED && room && frame == QUEUED ->
        if
        :: frame = BEGUN; room = false
        :: frame = WRITTEN
        fi
    :: state != ENDED && room && frame == BEGUN -> frame = WRITTEN
#ifdef MUTANT_CLOSE_CUTS_IN
    :: state != ENDED && room && closing_frame == QUEUED ->
#else
    :: state != ENDED && room && closing_frame == QUEUED && frame != QUEUED && frame != BEGUN ->
#endif
        assert(frame != BEGUN);
        closing_frame = WRITTEN
    :: else -> break
    od
}

/* conn_read */
inline get()
{
    if
    :: state != ENDED && q < HIGH -> q = q + arrived; arrived = 0
    :: else
    fi;
    if
    :: state != ENDED && answered -> state = ENDED
    :: else
    fi
}

/* block_wake: all whose wait is over; and somebody where the connection wants what no poll waits for, be it a direction or
 * an earlier time. A reader that is not asleep is about to look by itself. */
inline wake_others()
{
    j = 0; who = N; seen_in = false; seen_out = false; seen_time = false; role_asleep = false;
    do
    :: j < N ->
        if
        :: waits[j] ->
            if
            :: !woken[j] && (state == ENDED || IS_THERE(j)) -> woken[j] = true; rung[j] = true
            :: else
            fi;
            seen_in = seen_in || pin[j];
            seen_out = seen_out || pout[j];
            seen_time = seen_time || timed[j];
            if
            :: reads[j] -> who = j; role_asleep = true
            :: !reads[j] && !role_asleep && who == N -> who = j
            :: !reads[j] && !role_asleep && who < N ->
                if
                :: woken[who] -> who = j
                :: else
                fi
            :: else
            fi
        :: else
        fi;
        j++
    :: else -> break
    od;
    if
    :: reader == CALLER && !role_asleep -> who = N
    :: else
    fi;
    if
    :: who < N ->
        if
        :: !woken[who] && ((WANTS_IN && !seen_in) || (WANTS_OUT && !seen_out)
#ifndef MUTANT_DEADLINE_UNSEEN
                           || (deadline && state != ENDED && !seen_time)
#endif
                          ) -> woken[who] = true; rung[who] = true
        :: else
        fi
    :: else
    fi;
    j = 0; who = 0; seen_in = false; seen_out = false; seen_time = false; role_asleep = false
}

inline step_out()
{
    inside--;
    returned++;
#ifndef MUTANT_NO_HANDOVER
    wake_others();
#endif
    if
    :: inside == 0 && state != ENDED -> noticed = true /* warden_notice */
    :: else
    fi
}

inline take_role(i)
{
    reader = CALLER;
    reads[i] = true;
    assert(reads[A0] + reads[B0] + reads[C0] == 1)
}

/* serve_once's beginning: the role where reading is wanted, then what to poll for and until when */
inline choose_polls(i)
{
    if
#ifdef MUTANT_ROLE_UNLOCKED
    :: may_read -> take_role(i)
#else
    :: !reads[i] && WANTS_IN && reader != CALLER -> take_role(i)
#endif
    :: else
    fi;
    pin[i] = reads[i] && WANTS_IN;
    pout[i] = WANTS_OUT;
    timed[i] = deadline;
    woken[i] = false;
    waits[i] = true
}

inline forget_polls(i)
{
    waits[i] = false; pin[i] = false; pout[i] = false; timed[i] = false; woken[i] = false
}

/* call_wait. result: 0 it is there (and a turn or message taken, which the code does under the same lock), 1 the
 * connection has ended, 2 cancelled */
inline wait_for(i, what)
{
    want[i] = what;
    do
    :: atomic {
        (IS_THERE(i) || state == ENDED) ->
        if
        :: IS_THERE(i) ->
            result[i] = 0;
            if
            :: what == TURN -> turn = true
            :: what == MESSAGE -> q--
            :: else
            fi
        :: else -> result[i] = 1
        fi;
        if
        :: reads[i] -> reads[i] = false; reader = NOBODY
        :: else
        fi;
        break
       }
    :: atomic {
        (!IS_THERE(i) && state != ENDED) ->
#ifdef MUTANT_ROLE_UNLOCKED
        may_read = (!reads[i] && WANTS_IN && reader != CALLER)
       }
       atomic {
#endif
        choose_polls(i)
       }
       if
       :: atomic { rung[i] -> rung[i] = false }
       :: (pin[i] && READABLE)
       :: (pout[i] && room)
       :: atomic { timed[i] -> expired = true }
       :: atomic {
            cancelled[i] -> /* on_cancel */
            forget_polls(i);
            if
#ifdef MUTANT_CANCEL_KEEPS_ROLE
            :: reads[i] -> reads[i] = false
#else
            :: reads[i] -> reads[i] = false; reader = NOBODY
#endif
            :: else
            fi;
            result[i] = 2;
            break
          }
       fi;
       atomic {
        forget_polls(i);
        if
        :: reads[i] -> get()
        :: else
        fi;
        put();
        if
        :: expired && state != ENDED -> state = ENDED /* the peer has not answered Close in time */
        :: else
        fi;
        expired = false;
        wake_others()
       }
    od
}

#define LOCALS                                                                                                         \
    bool expired, may_read, seen_in, seen_out, seen_time, role_asleep;                                                 \
    byte j, who

proctype receiver(byte i)
{
    LOCALS;
    atomic { inside++ }
    wait_for(i, MESSAGE);
    atomic { step_out() }
}

proctype sender(byte i)
{
    LOCALS;
    atomic { inside++ }
    wait_for(i, TURN);
    if
    :: result[i] != 0
    :: else ->
        atomic {
            if
            :: state == OPEN -> frame = QUEUED; frame_by = i; put()
            :: else
            fi
        }
        wait_for(i, WRITE_OUT);
        atomic { /* proto_settle: not begun: taken back; begun: the rest is copied, and somebody else writes it */
            if
            :: frame_by == i && frame == QUEUED -> frame = NONE; frame_by = N
            :: frame_by == i && frame != QUEUED -> frame_by = N
            :: else
            fi;
#ifdef MUTANT_CANCEL_KEEPS_TURN
            if
            :: result[i] != 2 -> turn = false
            :: else
            fi
#else
            turn = false
#endif
        }
    fi;
    atomic { step_out() }
}

proctype closer(byte i)
{
    LOCALS;
    atomic {
        inside++;
        if
        :: state == OPEN -> state = CLOSING; closing_frame = QUEUED; deadline = true; put(); wake_others()
        :: else
        fi
    }
    if
    :: wait_for(i, END) /* thrum_close */
    :: skip             /* thrum_server_drain */
    fi;
    atomic { step_out() }
}

proctype peer()
{
    byte sends = 2, takes = 2;
end: do
    :: atomic { sends > 0 && !answered -> sends--; arrived++ }
    :: atomic { takes > 0 && !room -> takes--; room = true }
    :: atomic { closing_frame == WRITTEN && !answered -> answered = true }
    :: break
    od
}

proctype canceller()
{
    if
    :: cancelled[A0] = true
    :: cancelled[B0] = true
    :: cancelled[C0] = true
    fi
}

proctype warden()
{
    LOCALS;
end: do
    :: atomic {
        noticed && (inside > 0 || state == ENDED) -> /* attended, or over: let go of */
        noticed = false;
        if
        :: reader == WARDEN -> reader = NOBODY
        :: else
        fi
       }
    :: atomic {
        noticed && inside == 0 && state != ENDED && (reader != WARDEN || READABLE || (WANTS_OUT && room) || deadline) ->
        assert(reader != CALLER);
        reader = WARDEN;
        get();
        put();
        if
        :: state != ENDED && deadline -> state = ENDED /* its heap of timers */
        :: true
        fi;
        wake_others()
       }
    od
}

init
{
    atomic {
#ifdef TWO_SENDERS
        run sender(A0);
#else
        run receiver(A0);
#endif
#ifdef TWO_RECEIVERS
        run receiver(B0);
#else
        run sender(B0);
#endif
        run closer(C0);
        run peer(); run canceller(); run warden()
    }
    (returned == N);
    (state == ENDED); /* whoever was cancelled */
    assert(reader != CALLER && inside == 0 && !turn)
}
