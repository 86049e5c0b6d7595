/* fork.pml: fork while threads are at work (contract E6; src/conn/registry.c, src/base/fork.c, src/block/life.c, warden.c).
 *
 * One thread changes a connection in two steps under its lock, one puts connections into the registry and takes them out,
 * likewise in two steps; one writes letters to the warden's mailbox; a fourth forks at any time. The child is a copy
 * of the memory at that instant and of the forking thread: it asks the inherited connection for something, frees it,
 * and makes one of its own. The parent goes on.
 *
 * Checked: the child walks nothing that is half-changed, writes no byte to the parent's socket, waits for no lock whose
 * holder it does not have, and comes to its end, as do all threads of the parent.
 *
 * mutants: NOT_PREPARED NO_TORN_MARK NO_GENERATION LOCKS_INHERITED PARENT_KEEPS_LOCKED GOODBYE_IN_CHILD MAIL_INHERITED */

/* 0: the parent's memory, 1: the child's */
#define PARENT 0
#define CHILD  1

bool lock[2], registry[2], mail[2];          /* held */
bool conn_halfway[2], list_halfway[2], mail_halfway[2]; /* between the two steps of a change */
byte generation[2];
bool torn;      /* the child's mark */
bool forked;
byte parents_bytes, childs_bytes; /* that the child wrote: to the inherited socket, to its own */
byte over;      /* of the parent's threads */
bool child_over;

inline take(l) { atomic { !l -> l = true } }

proctype caller()
{
    byte rounds = 2;
    do
    :: rounds > 0 ->
        rounds--;
        take(lock[PARENT]);
        conn_halfway[PARENT] = true;
        conn_halfway[PARENT] = false;
        if
        :: take(mail[PARENT]); /* notice */
            mail_halfway[PARENT] = true;
            mail_halfway[PARENT] = false;
            mail[PARENT] = false
        :: true
        fi;
        lock[PARENT] = false
    :: else -> break
    od;
    over++
}

proctype maker()
{
    byte rounds = 2;
    do
    :: rounds > 0 ->
        rounds--;
        take(registry[PARENT]);
        list_halfway[PARENT] = true;
        list_halfway[PARENT] = false;
        registry[PARENT] = false
    :: else -> break
    od;
    over++
}

/* thrum_conn_free in the child */
inline free_inherited()
{
    if
#ifdef MUTANT_NO_TORN_MARK
    :: true ->
#else
    :: !torn ->
#endif
        assert(!conn_halfway[CHILD])
    :: torn /* the descriptor is closed, the memory left alone */
    fi
#ifdef MUTANT_GOODBYE_IN_CHILD
    ; parents_bytes++
#endif
}

proctype child()
{
    /* after_fork_child */
    generation[CHILD]++;
    assert(!list_halfway[CHILD]); /* the list is walked */
    torn = lock[CHILD];
#ifndef MUTANT_LOCKS_INHERITED
    registry[CHILD] = false;
#endif
    if /* warden_forked */
    :: !mail[CHILD] -> assert(!mail_halfway[CHILD]) /* its poller is freed */
    :: else
    fi;
#ifndef MUTANT_MAIL_INHERITED
    mail[CHILD] = false;
    mail_halfway[CHILD] = false; /* made anew */
#endif

    /* thrum_send on what was inherited */
#ifdef MUTANT_NO_GENERATION
    take(lock[CHILD]);
    parents_bytes++;
    lock[CHILD] = false;
#else
    if
    :: generation[CHILD] != generation[PARENT] /* E_FORKED, before any lock */
    :: else -> take(lock[CHILD]); parents_bytes++; lock[CHILD] = false
    fi;
#endif
    free_inherited();

    /* a connection of its own: registry, mailbox, a warden */
    take(registry[CHILD]);
    list_halfway[CHILD] = true;
    list_halfway[CHILD] = false;
    registry[CHILD] = false;
    take(mail[CHILD]);
    assert(!mail_halfway[CHILD]);
    mail[CHILD] = false;
    childs_bytes++;
    child_over = true
}

proctype forker()
{
#ifndef MUTANT_NOT_PREPARED
    take(registry[PARENT]);
#endif
    atomic { /* fork(2) */
        lock[CHILD] = lock[PARENT];
        registry[CHILD] = registry[PARENT];
        mail[CHILD] = mail[PARENT];
        conn_halfway[CHILD] = conn_halfway[PARENT];
        list_halfway[CHILD] = list_halfway[PARENT];
        mail_halfway[CHILD] = mail_halfway[PARENT];
        generation[CHILD] = generation[PARENT];
        forked = true;
        run child()
    }
#if !defined(MUTANT_NOT_PREPARED) && !defined(MUTANT_PARENT_KEEPS_LOCKED)
    registry[PARENT] = false;
#endif
    over++
}

init
{
    atomic { run caller(); run maker(); run forker() }
    (over == 3 && child_over);
    assert(parents_bytes == 0 && childs_bytes == 1);
    assert(!lock[PARENT] && !registry[PARENT] && !mail[PARENT])
}
