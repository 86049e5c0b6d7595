/* warden_life.pml: when the warden is started, sleeps, is woken, and ends (src/block/warden.c), over one connection.
 *
 * Two threads go in and out of the connection and then free their handles; a peer sends a ping when it likes and waits for
 * its pong. The connection's lock and the mailbox's are modelled as locks, since what happens between the two is the
 * question; the loads of `mailed` and `state` outside of the mailbox's lock are steps of their own. A warden that RESTS
 * comes back only for a wake-up or an event; one that TICKS always comes back.
 *
 * Checked: a ping to a connection that nobody is inside of is answered (no lost wake-up); nothing is used after it
 * was freed; one warden at a time; once all is freed the warden ends and leaves nothing behind (E11, E13).
 *
 * liveness: ends
 * mutants: RESTS_BLINDLY ENDS_BLINDLY RELEASE_FORGETS_MAIL NO_WAKE FREES_WATCHED ADOPTS_ATTENDED */

#define ABSENT  0
#define TICKING 1
#define RESTING 2

#define NOBODY 0
#define CALLER 1
#define WARDEN 2

#define UNKNOWN 0
#define LOOSE   1
#define ADOPTED 2

#define USERS 2

/* the mailbox */
bool mail_lock, mailed, bell; /* bell: the poller's eventfd */
byte state = ABSENT, wardens, bodies;
/* the connection */
bool lock, held, dropped, freed, armed;
byte reader = NOBODY, inside, handles = USERS;
byte watch = UNKNOWN; /* the warden's own */
byte young;           /* ticks left of its grace */
/* the peer */
bool ping, pong, cut;

#define GRACE 1

inline take(l) { atomic { !l -> l = true } }
inline give(l) { l = false }
inline touch() { assert(!freed) }

/* block_unlock */
inline unlock_conn()
{
    atomic {
        touch();
        lock = false;
#ifdef MUTANT_FREES_WATCHED
        freed = freed || (handles == 0 && inside == 0)
#else
        freed = freed || (handles == 0 && inside == 0 && !held)
#endif
    }
}

/* warden_notice: with the connection's lock. The first two loads are of atomics. */
inline notice()
{
    seen = mailed;
    if
    :: seen && state == TICKING /* it is going to look */
    :: else ->
        take(mail_lock);
        atomic {
            if
            :: !mailed -> mailed = true; held = true
            :: else
            fi
        }
        if /* rouse */
        :: state == RESTING ->
            state = TICKING;
#ifndef MUTANT_NO_WAKE
            bell = true
#endif
        :: state == ABSENT -> atomic { state = TICKING; wardens++; run warden() }
        :: else
        fi;
        give(mail_lock)
    fi;
    seen = false
}

proctype user()
{
    bool seen;
    byte rounds = 2;
    do
    :: rounds > 0 ->
        rounds--;
        take(lock); /* call_enter */
        atomic { touch(); inside++ }
        if /* call_wait, for those that wait: it reads, so the ping is answered */
        :: reader != CALLER ->
            reader = CALLER;
            give(lock);
            take(lock);
            atomic {
                touch();
                assert(reader == CALLER);
                if
                :: ping -> ping = false; pong = true
                :: else
                fi;
                reader = NOBODY
            }
        :: true
        fi;
        atomic { inside--; young = GRACE } /* call_leave */
        if
        :: inside == 0 && handles > 0 -> notice()
        :: else
        fi;
        unlock_conn()
    :: break
    od;
    take(lock); /* thrum_conn_free */
    atomic { touch(); handles-- }
    if
    :: handles == 0 ->
        atomic { dropped = true; cut = true; armed = false }
        if
        :: held -> notice()
        :: else
        fi
    :: else
    fi;
    unlock_conn()
}

/* with the lock; unlocks */
inline release()
{
    watch = UNKNOWN;
    if
    :: reader == WARDEN -> reader = NOBODY
    :: else
    fi;
    take(mail_lock);
    armed = false;
    seen = mailed;
    give(mail_lock);
#ifdef MUTANT_RELEASE_FORGETS_MAIL
    held = false;
#else
    held = seen;
#endif
    seen = false;
    unlock_conn()
}

/* with the lock; unlocks */
inline serve()
{
    atomic {
        if
        :: ping -> ping = false; pong = true
        :: else
        fi;
        armed = true; /* one-shot */
        watch = ADOPTED
    }
    unlock_conn()
}

inline consider()
{
    take(lock);
    touch();
    if
    :: dropped -> release()
    :: !dropped && reader == WARDEN -> serve()
#ifdef MUTANT_ADOPTS_ATTENDED
    :: !dropped && reader != WARDEN && young == 0 -> reader = WARDEN; serve()
    :: !dropped && reader != WARDEN && inside > 0 && young > 0 -> release()
#else
    :: !dropped && reader != WARDEN && inside > 0 -> release() /* who is inside gives notice when it leaves */
    :: !dropped && reader != WARDEN && inside == 0 && young == 0 -> reader = WARDEN; serve()
#endif
    :: !dropped && reader != WARDEN && inside == 0 && young > 0 -> watch = LOOSE; unlock_conn()
    fi
}

proctype warden()
{
    bool seen, event, rests;
    byte idle = GRACE; /* turns without anything to do before it ends */
    bodies++;
    assert(bodies == 1);
    do
    :: if /* serve_events */
       :: event -> event = false; consider()
       :: else
       fi;
       take(mail_lock); /* take_mail, next_mail */
       atomic { state = TICKING; seen = mailed; mailed = false }
       give(mail_lock);
       if
       :: seen -> seen = false; idle = GRACE; consider()
       :: else
       fi;
       if /* look_at_loose; a tick has passed */
       :: watch == LOOSE -> atomic { young = 0; idle = GRACE } consider()
       :: else
       fi;
       take(mail_lock); /* next_state */
       if
#ifdef MUTANT_ENDS_BLINDLY
       :: watch == UNKNOWN && idle == 0 ->
#else
       :: watch == UNKNOWN && idle == 0 && !mailed ->
#endif
            atomic { state = ABSENT; bell = false; bodies--; give(mail_lock) }
            break
#ifdef MUTANT_RESTS_BLINDLY
       :: watch != LOOSE && (watch == ADOPTED || idle > 0) -> state = RESTING
#else
       :: watch == ADOPTED && !mailed -> state = RESTING
#endif
       :: else -> state = TICKING
       fi;
       atomic {
        rests = (state == RESTING); /* its own copy: the sleep's length is reckoned from it */
        idle = (watch == UNKNOWN && idle > 0 -> idle - 1 : idle)
       }
       give(mail_lock);
       if /* poller_wait */
       :: atomic { bell -> bell = false }
       :: atomic { armed && (ping || cut) -> armed = false; event = true }
       :: !rests /* time */
       fi
    od;
    wardens--
}

proctype peer()
{
    if
    :: ping = true
    :: true -> goto done
    fi;
    (pong || dropped);
done:
    skip
}

init
{
    byte i;
    atomic {
        do
        :: i < USERS -> run user(); i++
        :: else -> break
        od;
        run peer()
    }
    (freed && wardens == 0);
    assert(!mailed && !held && state == ABSENT)
}

ltl ends { <> (freed && wardens == 0) }
