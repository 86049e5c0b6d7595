/* stream.c: what is asked of a stack of streams, from its top. A stream that has no answer of its own passes
 * the question down. */
#include "net/stream.h"

#include <errno.h>

short stream_wants(const struct stream *s, short asked)
{
    for (; s; s = s->below)
        if (s->ops->wants)
            return s->ops->wants(s, asked);
    return asked;
}

bool stream_buffered(const struct stream *s)
{
    for (; s; s = s->below)
        if (s->ops->buffered && s->ops->buffered(s))
            return true;
    return false;
}

/* The top first: what it writes down may then be held by the next. */
int stream_flush(struct stream *s)
{
    int result = 0;
    for (; s; s = s->below) {
        int r = s->ops->flush ? s->ops->flush(s) : 0;
        if (r != 0 && (result == 0 || result == -EAGAIN))
            result = r;
    }
    return result;
}

size_t stream_unsent(const struct stream *s)
{
    size_t n = 0;
    for (; s; s = s->below)
        n += s->ops->unsent ? s->ops->unsent(s) : 0;
    return n;
}

/* The lowest that knows: what is above it failed because of it. */
bool stream_failed(const struct stream *s, thrum_error *err)
{
    if (!s)
        return false;
    return stream_failed(s->below, err) || (s->ops->failed && s->ops->failed(s, err));
}

int stream_below_shut_out(struct stream *s)
{
    return s->below->ops->shut_out(s->below);
}

void stream_below_cut(struct stream *s)
{
    s->below->ops->cut(s->below);
}

int stream_below_fd(const struct stream *s)
{
    return s->below->ops->fd(s->below);
}

void stream_below_describe(const struct stream *s, char *out, size_t cap)
{
    s->below->ops->describe(s->below, out, cap);
}
