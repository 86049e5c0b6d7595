/* end.pml: the process whose main calls pthread_exit (contract E2; src/block/warden.c, src/base/thread.c and census.c).
 *
 * Application threads: main, a worker, and a stranger that never enters the library; each may end at any time, and the
 * worker may turn to the background instead and live for ever. A server's thread, which never ends either, is there or
 * not; a connection that the warden has adopted is there or not. A thread first takes its record away, then announces its
 * end, and is gone for the kernel only some time later. The kernel ends a process without threads by itself.
 *
 * The mailbox's lock is held for computing only, so what it guards is one step here; warden_life.pml looks inside.
 *
 * Checked: the warden never ends the process over a living application thread; and the process does end, after
 * the last of them, whichever it is. A warden that RESTS comes back only for a wake-up or the time it has set.
 *
 * liveness: ends
 * mutants: NO_ANNOUNCEMENT BACKGROUND_UNSEEN BACKGROUND_FORGOTTEN ANNOUNCED_TOO_EARLY NO_SLOW_TICK
 * mutants: SLOW_WHEN_MAIN_GONE_ONLY ENDS_BESIDE_A_SERVER COUNTS_ENTERED_ONLY
 * liveness mutants: BACKGROUND_COUNTS */

#define ABSENT  0
#define TICKING 1
#define RESTING 2

#define MAIN     0
#define WORKER   1
#define STRANGER 2
#define APPS     3

#define QUICK 2 /* counts after an announcement */

bool alive[APPS], record[APPS], background[APPS];
bool announced, bell, ended;
bool slow, backgrounds; /* what the warden saw at its last count; static, as in the code, so that the next one finds it */
bool had_background;     /* a thread has turned to the background */
byte state = ABSENT;
byte library;  /* its threads, the warden among them, as thread_library_count says */
byte threads;  /* all that the kernel knows */
bool adopted;  /* a connection that only the warden serves */

inline gone()
{
    atomic {
        threads--;
        if
        :: threads == 0 -> ended = true
        :: else
        fi
    }
}

inline rouse()
{
    if
    :: state == RESTING -> state = TICKING; bell = true
    :: state == ABSENT -> atomic { state = TICKING; library++; threads++; run warden(false) }
    :: else
    fi
}

inline announce()
{
#ifndef MUTANT_NO_ANNOUNCEMENT
    atomic {
    if
#ifdef MUTANT_BACKGROUND_UNSEEN
    :: library > 0 -> announced = true; rouse()
#else
    :: library > 0 || had_background -> announced = true; rouse()
#endif
    :: else
    fi
    }
#else
    skip
#endif
}

proctype application(byte i)
{
    if
    :: i == WORKER -> /* a daemon */
        background[i] = true;
        had_background = true;
        announce();
        goto forever
    :: true
    fi;
    if /* the destructor of its record */
    :: record[i] ->
#ifdef MUTANT_ANNOUNCED_TOO_EARLY
        announce();
        record[i] = false
#else
        record[i] = false;
        announce()
#endif
    :: else
    fi;
    atomic { alive[i] = false; gone() }
    goto done;
forever:
end:
    false;
done:
    skip
}

#define LIVES(i) (alive[i] && !background[i])

inline count()
{
    atomic { /* census.c makes it true of one instant */
        if
#ifdef MUTANT_COUNTS_ENTERED_ONLY
        :: !(LIVES(MAIN) && record[MAIN]) && !(LIVES(WORKER) && record[WORKER]) ->
#else
        :: !LIVES(MAIN) && !LIVES(STRANGER) &&
#    ifdef MUTANT_BACKGROUND_COUNTS
           !alive[WORKER] ->
#    else
           !LIVES(WORKER) ->
#    endif
#endif
            assert(!LIVES(MAIN) && !LIVES(WORKER) && !LIVES(STRANGER));
            ended = true
        :: else
        fi;
#ifdef MUTANT_SLOW_WHEN_MAIN_GONE_ONLY
        slow = !alive[MAIN];
#else
        slow = !alive[MAIN] || !((LIVES(MAIN) && record[MAIN]) || (LIVES(WORKER) && record[WORKER]));
#endif
#ifdef MUTANT_NO_SLOW_TICK
        slow = false;
#endif
        backgrounds = background[WORKER];
        if
        :: counts > 0 -> counts--
        :: else
        fi
    }
}

#if defined(MUTANT_ENDS_BESIDE_A_SERVER)
#    define MUST_COUNT (counts > 0 || (slow && backgrounds))
#elif defined(MUTANT_BACKGROUND_FORGOTTEN)
#    define MUST_COUNT (counts > 0 || (slow && library > 1))
#else
#    define MUST_COUNT (counts > 0 || (slow && (library > 1 || backgrounds)))
#endif

proctype warden(bool rests)
{
    byte counts = 1;
    do
    :: ended -> break
    :: else ->
        atomic { /* take_mail */
            state = TICKING;
            if
            :: announced -> announced = false; counts = QUICK
            :: else
            fi
        }
        if
        :: counts > 0 || slow -> count()
        :: else
        fi;
        if
        :: ended -> break
        :: else
        fi;
        atomic { /* next_state */
        if
        :: !announced && !adopted && !MUST_COUNT -> state = ABSENT; break
        :: !announced && (adopted || MUST_COUNT) -> state = RESTING
        :: else -> state = TICKING
        fi;
        rests = (state == RESTING)
        }
        if /* poller_wait */
        :: atomic { bell -> bell = false }
        :: !rests || counts > 0 || slow /* time */
        :: ended
        fi
    od;
    if
    :: !ended -> library--; gone()
    :: else
    fi
}

init
{
    byte i;
    atomic {
        do
        :: i < APPS -> alive[i] = true; record[i] = (i != STRANGER); threads++; i++
        :: else -> break
        od;
        if
        :: record[MAIN] = false
        :: true
        fi;
        if /* a server's thread */
        :: library++; threads++
        :: true
        fi;
        if
        :: adopted = true; state = TICKING; library++; threads++; run warden(false)
        :: true
        fi;
        i = 0;
        do
        :: i < APPS -> run application(i); i++
        :: else -> break
        od;
        i = 0
    }
    (ended);
    assert(!LIVES(MAIN) && !LIVES(WORKER) && !LIVES(STRANGER))
}

ltl ends { <> ended }
