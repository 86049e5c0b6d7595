/* end.pml: the process whose main calls pthread_exit (contract E2; src/block/warden.c, src/base/thread.c and census.c).
 *
 * Application threads: main, a worker, and a stranger that never enters the library; each may end at any time, and the
 * worker may turn to the background instead and live for ever. A server's thread, which never ends either, is there or
 * not; a connection that the warden has adopted is there or not. A thread first takes its record away, then announces its
 * end, and is gone for the kernel only some time later. The kernel ends a process without threads by itself.
 *
 * Checked: the warden never ends the process over a living application thread; and the process does end, after
 * the last of them, whichever it is. A warden that RESTS comes back only for a wake-up or the time it has set.
 *
 * liveness: ends
 * mutants: NO_ANNOUNCEMENT ANNOUNCED_TOO_EARLY NO_SLOW_TICK SLOW_WHEN_MAIN_GONE_ONLY ENDS_BESIDE_A_SERVER BACKGROUND_COUNTS
 *   COUNTS_ENTERED_ONLY */

#define ABSENT  0
#define TICKING 1
#define RESTING 2

#define MAIN     0
#define WORKER   1
#define STRANGER 2
#define APPS     3

#define QUICK 2 /* counts after an announcement */

bool alive[APPS], record[APPS], background[APPS];
bool mail_lock, announced, bell, ended;
bool slow; /* the warden's; static, as in the code, so that the next warden finds it */
byte state = ABSENT;
byte library;  /* its threads, the warden among them, as thread_library_count says */
byte threads;  /* all that the kernel knows */
bool adopted;  /* a connection that only the warden serves */

inline take(l) { atomic { !l -> l = true } }
inline give(l) { l = false }

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
    take(mail_lock);
    if
    :: library > 0 -> announced = true; rouse()
    :: else
    fi;
    give(mail_lock)
#endif
}

proctype application(byte i)
{
    if
    :: i == WORKER -> /* a daemon */
        background[i] = true;
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
        if
        :: counts > 0 -> counts--
        :: else
        fi
    }
}

proctype warden(bool rests)
{
    byte counts = 1;
    do
    :: ended -> break
    :: else ->
        take(mail_lock); /* take_mail */
        atomic {
            state = TICKING;
            if
            :: announced -> announced = false; counts = QUICK
            :: else
            fi
        }
        give(mail_lock);
        if
        :: counts > 0 || slow -> count()
        :: else
        fi;
        if
        :: ended -> break
        :: else
        fi;
        take(mail_lock); /* next_state */
        if
#ifdef MUTANT_ENDS_BESIDE_A_SERVER
        :: !announced && !adopted && counts == 0 ->
#else
        :: !announced && !adopted && !(counts > 0 || (slow && library > 1)) ->
#endif
            state = ABSENT;
            give(mail_lock);
            break
        :: !announced && (adopted || counts > 0 || (slow && library > 1)) -> state = RESTING
        :: else -> state = TICKING
        fi;
        rests = (state == RESTING);
        give(mail_lock);
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
