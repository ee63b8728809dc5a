/* Charging: a request at every level, and the journals of who shares what is counted (core.spending, stores.shared). */

/* Networks around a principal that are charged here: an IPv6 address has two. */
#define MOST_LEVELS 4

/* What a judgement comes to, worked out before anything is written. */
typedef struct {
    PyObject *history, *now;              /* the history borrowed */
    PyObject *tat, *requests;             /* new, or NULL */
    PyObject *networks[MOST_LEVELS];      /* borrowed */
    PyObject *wide[MOST_LEVELS];          /* new */
    PyObject *allowance;                  /* borrowed from the place; NULL where no picture is asked for */
    PyObject *member;                     /* borrowed; NULL where no group is to be told */
    double interval;                      /* of the limit that is charged */
    int levels, noted, returned, later;
    int told;  /* others are told of what is charged */
    int fresh; /* an original that was not the latest: the visit is reviewed, and finds nothing */
} Outcome;

static void
drop(Outcome *outcome)
{
    Py_CLEAR(outcome->now);
    Py_CLEAR(outcome->tat);
    Py_CLEAR(outcome->requests);
    while (outcome->levels > 0) {
        Py_DECREF(outcome->wide[--outcome->levels]);
    }
}

/* Work out what spending.spend_one would write; tell whether there is room at every level. */
static int
spend(Outcome *outcome, PyObject *limit, double now)
{
    double interval, window, tat, factor;
    if (!is_a(limit, LIMIT) || !number(slot(limit, LIMIT_interval), &interval)
        || !number(slot(limit, LIMIT_window), &window) || !number(slot(outcome->history, HISTORY_tat), &tat)) {
        return 0;
    }
    double latest = now + window;
    outcome->interval = interval;
    tat = (tat > now ? tat : now) + interval;
    if (tat > latest || interval == 0.0 || (outcome->tat = PyFloat_FromDouble(tat)) == NULL) {
        return 0;
    }
    PyObject *network = slot(outcome->history, HISTORY_rollup);
    for (; network != Py_None; network = slot(network, NETWORK_rollup)) {
        if (outcome->levels == MOST_LEVELS || !is_a(network, NETWORK) || !number(slot(network, NETWORK_tat), &tat)
            || !number(slot(network, NETWORK_factor), &factor)) {
            return 0;
        }
        tat = (tat > now ? tat : now) + interval / factor;
        PyObject *wide = tat > latest ? NULL : PyFloat_FromDouble(tat);
        if (wide == NULL) {
            return 0;
        }
        outcome->networks[outcome->levels] = network;
        outcome->wide[outcome->levels++] = wide;
    }
    return 1;
}

/* Tell whether what is charged here has to be told to others, who can be told (SharedStore.lesser): 1, 0, or -1 with an error. */
static int
tells(Swift *self)
{
    if (self->of[SHARING] == Py_None) {
        return 0;
    }
    PyObject *lesser = PyObject_GetAttr(self->of[SHARING], word_lesser);
    int told = lesser == NULL ? -1 : lesser == Py_None;
    Py_XDECREF(lesser);
    return told;
}

/* Read a number that a store keeps in an attribute. */
static int
number_of(PyObject *store, PyObject *name, double *value)
{
    PyObject *held = PyObject_GetAttr(store, name);
    int read = number(held, value);
    Py_XDECREF(held);
    return read;
}

/* Begin a journal that rests, beside others that were begun a moment ago (SharedStore.open); tell whether that was done. */
static int
lay_down(PyObject *store, PyObject *purse, Py_ssize_t at, PyObject *name, double window, double now)
{
    double rests, brief, begun, until;
    if (name == NULL || !PyBytes_CheckExact(name) || !PyBytes_GET_SIZE(name) || !number_of(store, word_rests, &rests)
        || !number_of(store, word_brief, &brief) || !((window < brief ? window : brief) * rests > 0.0)) {
        return 0;
    }
    PyObject *resting = PyObject_GetAttr(store, word_resting), *purses = NULL, *journal = NULL, *room = NULL;
    PyObject *bed = resting != NULL && PySequence_Size(resting) > 0 ? PySequence_GetItem(resting, -1) : NULL;
    int done = bed != NULL && PyTuple_Check(bed) && PyTuple_GET_SIZE(bed) == 3
               && number(PyTuple_GET_ITEM(bed, 0), &begun) && number(PyTuple_GET_ITEM(bed, 1), &until) && now < until
               && PyList_CheckExact(purses = PyTuple_GET_ITEM(bed, 2))
               && (room = PyFloat_FromDouble((window < brief ? window : brief) * rests)) != NULL
               && (journal = classes[JOURNAL]->tp_alloc(classes[JOURNAL], 0)) != NULL
               && PyList_Append(purses, purse) == 0;
    if (done) {
        PyObject *nothing = PyFloat_FromDouble(0.0);
        done = nothing != NULL;
        if (done) {
            PyObject_GC_UnTrack(journal); /* nothing in it leads back to it */
            put(journal, JOURNAL_requests, nothing);
            put(journal, JOURNAL_room, room);
            put(journal, JOURNAL_begun, PyTuple_GET_ITEM(bed, 0));
            put(journal, JOURNAL_rates, Py_None);
            put(journal, JOURNAL_originals, Py_None);
            put(journal, JOURNAL_subjects, Py_None);
            put(journal, JOURNAL_told, Py_False);
            put(journal, JOURNAL_all, Py_False);
            put(journal, JOURNAL_lifted, Py_False);
            put(purse, at, journal);
        }
        Py_XDECREF(nothing);
    }
    Py_XDECREF(room);
    Py_XDECREF(journal);
    Py_XDECREF(bed);
    Py_XDECREF(resting);
    return done;
}

/* See to it that every record has a journal: an empty one does no harm. */
static int
open_journals(Swift *self, Outcome *outcome, PyObject *limit, double now)
{
    double window;
    if (!number(slot(limit, LIMIT_window), &window)) {
        return 0;
    }
    for (int i = -1; i < outcome->levels; i++) {
        PyObject *purse = i < 0 ? outcome->history : outcome->networks[i];
        Py_ssize_t at = i < 0 ? HISTORY_journal : NETWORK_journal;
        if (slot(purse, at) != Py_None
            || lay_down(self->of[SHARING], purse, at, slot(purse, i < 0 ? HISTORY_name : NETWORK_name), window, now)) {
            continue;
        }
        if (!usual_error()) {
            return 0;
        }
        PyObject *asked[] = {self->of[SHARING], purse, slot(limit, LIMIT_window)};
        PyObject *opened = PyObject_VectorcallMethod(word_open, asked, 3, NULL);
        Py_XDECREF(opened);
        if (opened == NULL) {
            return 0;
        }
    }
    return 1;
}

/* Note in its journal that seconds were charged to a record (SharedStore._note_request); -1 with an error. */
static int
note_seconds(Swift *self, PyObject *purse, PyObject *journal, double seconds)
{
    double noted, room;
    if (!is_a(journal, JOURNAL) || !number(slot(journal, JOURNAL_requests), &noted)
        || !number(slot(journal, JOURNAL_room), &room)) {
        PyErr_SetString(PyExc_TypeError, "a record without a journal was charged");
        return -1;
    }
    PyObject *more = PyFloat_FromDouble(noted + seconds);
    if (more == NULL) {
        return -1;
    }
    put(journal, JOURNAL_requests, more);
    Py_DECREF(more);
    if (noted + seconds > room) {
        PyObject *asked[] = {self->of[SHARING], purse};
        PyObject *done = PyObject_VectorcallMethod(word_hasten, asked, 2, NULL);
        Py_XDECREF(done);
        return done == NULL ? -1 : 0;
    }
    return 0;
}
