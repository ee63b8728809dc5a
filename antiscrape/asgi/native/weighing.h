/* Weighing: the bytes of pictures, charged where they were charged before (Gate.note_bytes, stores.shared). */

/* Note in a record's journal that seconds were charged to a limit on bytes (SharedStore.charge_bytes); 0 where it was not. */
static int
note_rate(PyObject *store, PyObject *purse, int own, PyObject *limit, double seconds, double now)
{
    double rests, brief, noted = 0.0, room, window;
    Py_ssize_t at = own ? HISTORY_journal : NETWORK_journal;
    if (!number_of(store, word_rests, &rests) || !number_of(store, word_brief, &brief)) {
        return 0;
    }
    if (slot(purse, at) == Py_None
        && !lay_down(store, purse, at, slot(purse, own ? HISTORY_name : NETWORK_name), brief, now)) {
        PyObject *asked[] = {store, purse, PyErr_Occurred() ? NULL : PyFloat_FromDouble(brief)};
        PyObject *opened = asked[2] == NULL ? NULL : PyObject_VectorcallMethod(word_open, asked, 3, NULL);
        Py_XDECREF(asked[2]);
        Py_XDECREF(opened);
    }
    PyObject *journal = slot(purse, at), *name = slot(limit, LIMIT_of_bytes), *rates, *known;
    if (PyErr_Occurred() || !is_a(journal, JOURNAL) || !number(slot(journal, JOURNAL_room), &room)
        || !number(slot(limit, LIMIT_window), &window)) {
        return 0;
    }
    if (slot(journal, JOURNAL_rates) == Py_None) {
        if ((rates = PyDict_New()) == NULL) {
            return 0;
        }
        put(journal, JOURNAL_rates, rates);
        Py_DECREF(rates);
    }
    rates = slot(journal, JOURNAL_rates);
    known = PyDict_CheckExact(rates) ? PyDict_GetItemWithError(rates, name) : NULL;
    if (PyErr_Occurred() || (known != NULL && !number(known, &noted))) {
        return 0;
    }
    PyObject *more = PyFloat_FromDouble(noted + seconds);
    int done = more != NULL && PyDict_SetItem(rates, name, more) == 0;
    Py_XDECREF(more);
    if (done && !isinf(room) && noted + seconds > window * rests) {
        PyObject *asked[] = {store, purse};
        PyObject *hastened = PyObject_VectorcallMethod(word_hasten, asked, 2, NULL);
        Py_XDECREF(hastened);
        done = hastened != NULL;
    }
    return done;
}

/* A record that bytes are charged to, and how many times a client's share is its own. */
typedef struct {
    PyObject *purse, *tats;
    double factor;
} Level;

/* Return to how many records a client's bytes are charged; 0 where one is not as usual. */
static int
levels_of(PyObject *history, Level *levels)
{
    int count = 0;
    levels[count++] = (Level){history, slot(history, HISTORY_tats), 1.0};
    for (PyObject *wider = slot(history, HISTORY_rollup); wider != Py_None; wider = slot(wider, NETWORK_rollup)) {
        if (count > MOST_LEVELS || !is_a(wider, NETWORK) || !number(slot(wider, NETWORK_factor), &levels[count].factor)) {
            return 0;
        }
        levels[count].purse = wider;
        levels[count++].tats = slot(wider, NETWORK_tats);
    }
    return count;
}

/* Charge bytes where they were charged before (MemoryStore.charge_bytes): 1 where that was done, 0 where it was not. */
static int
charge_bytes(Swift *swift, PyObject *passage, double amount)
{
    PyObject *history = slot(passage, PASSAGE_history), *allowance = slot(passage, PASSAGE_allowance), *limits;
    Level levels[1 + MOST_LEVELS];
    double now = 0.0;
    int told = 0;
    if (swift->keeps < 0.0 || !is_a(history, HISTORY) || slot(passage, PASSAGE_habits) != history
        || slot(passage, PASSAGE_role) != swift->of[NOBODY] || !is_a(allowance, ALLOWANCE)
        || (limits = slot(allowance, ALLOWANCE_bytes)) == NULL || !PyTuple_CheckExact(limits)
        || (!swift->spends && (told = tells(swift)) <= 0)) {
        return 0;
    }
    if (!PyTuple_GET_SIZE(limits)) {
        return 1;
    }
    PyObject *time = PyObject_CallNoArgs(swift->of[CLOCK]);
    int done = time != NULL && number(time, &now), count = done ? levels_of(history, levels) : 0;
    Py_XDECREF(time);
    /* first whether all of it can be done: what is charged is charged at every level; last what others are told of it */
    for (int pass = 0; pass < 2 + told && done; pass++) {
        done = count > 0;
        for (int at = 0; at < count && done; at++) {
            for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(limits) && done; i++) {
                PyObject *limit = PyTuple_GET_ITEM(limits, i), *known, *tats = levels[at].tats;
                double interval, tat;
                done = is_a(limit, LIMIT) && number(slot(limit, LIMIT_interval), &interval) && tats != NULL
                       && PyDict_CheckExact(tats) && slot(limit, LIMIT_of_bytes) != NULL
                       && (known = PyDict_GetItemWithError(tats, slot(limit, LIMIT_of_bytes))) != NULL
                       && number(known, &tat);
                if (done && pass == 1) {
                    tat = (tat > now ? tat : now) + amount / levels[at].factor * interval;
                    PyObject *moved = PyFloat_FromDouble(tat);
                    done = moved != NULL && PyDict_SetItem(tats, slot(limit, LIMIT_of_bytes), moved) == 0;
                    Py_XDECREF(moved);
                }
                if (done && pass == 2) {
                    double seconds = amount * interval / levels[at].factor;
                    done = note_rate(swift->of[SHARING], levels[at].purse, at == 0, limit, seconds, now);
                }
            }
        }
    }
    return done;
}
