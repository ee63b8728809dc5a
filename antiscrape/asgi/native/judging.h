/* The judgement: Gate.judge of a request about which all is as usual. */

/* Note in the journals of all levels what was charged to them; -1 with an error. */
static int
note_charged(Swift *self, Outcome *outcome)
{
    if (note_seconds(self, outcome->history, slot(outcome->history, HISTORY_journal), outcome->interval) < 0) {
        return -1;
    }
    for (int i = 0; i < outcome->levels; i++) {
        double factor;
        PyObject *network = outcome->networks[i];
        if (!number(slot(network, NETWORK_factor), &factor)
            || note_seconds(self, network, slot(network, NETWORK_journal), outcome->interval / factor) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Write down an outcome; -1 with an error where the history's own code raised one. */
static int
settle(Swift *self, PyObject *passage, Outcome *outcome, PyObject *place, PyObject *face, PyObject *within)
{
    PyObject *history = outcome->history, *resource = slot(place, PLACE_resource);
    put(passage, PASSAGE_find, self->of[FIND]);
    put(passage, PASSAGE_account, Py_None);
    put(passage, PASSAGE_resource, resource);
    put(passage, PASSAGE_history, history);
    put(passage, PASSAGE_habits, history);
    put(passage, PASSAGE_profile, slot(face, FACE_profile));
    put(passage, PASSAGE_role, slot(face, FACE_role));
    put(passage, PASSAGE_look, slot(face, FACE_look));
    put(passage, PASSAGE_verdict, within);
    if (outcome->allowance != NULL) {
        put(passage, PASSAGE_allowance, outcome->allowance);
        put(passage, PASSAGE_grant, Py_None);
    }
    if (outcome->member != NULL) {
        put(outcome->member, MEMBER_last, outcome->now);
    }
    if (outcome->later) {
        put(history, HISTORY_last, outcome->now);
    }
    put(history, HISTORY_requests, outcome->requests);
    if (outcome->returned) {
        put(history, HISTORY_cookies_returned, Py_True);
        put(history, HISTORY_news, Py_True);
    }
    if (outcome->tat != NULL) {
        put(history, HISTORY_tat, outcome->tat);
    }
    for (int i = 0; i < outcome->levels; i++) {
        put(outcome->networks[i], NETWORK_tat, outcome->wide[i]);
    }
    if (outcome->told && note_charged(self, outcome) < 0) {
        return -1;
    }
    if (outcome->noted) {
        PyObject *told[] = {history, resource, passage, outcome->now};
        PyObject *done = PyObject_VectorcallMethod(word_note_kind, told, 4, NULL);
        Py_XDECREF(done);
        if (done == NULL) {
            return -1;
        }
        if (outcome->fresh) { /* Gate._review, which finds nothing */
            put(history, HISTORY_news, Py_False);
            put(history, HISTORY_visit, slot(history, HISTORY_outside));
        }
    }
    return 1;
}

/* Judge a passage: 1 where that was done, 0 where Gate.judge has to (an error may be set, for the caller to
 * clear), -1 with an error that is the caller's to raise. ``only`` is the verdict that is wanted, or NULL. */
static int
judge_usual(Swift *self, PyObject *passage, PyObject *only)
{
    PyObject *values = slot(passage, PASSAGE_values), *raw_path = slot(passage, PASSAGE_raw_path);
    const Order *known = order_of_shape(self, slot(passage, PASSAGE_shape));
    if (known == NULL || values == NULL || !PyTuple_CheckExact(values) || PyTuple_GET_SIZE(values) != known->count
        || raw_path == NULL || !PyBytes_CheckExact(raw_path)) {
        return 0;
    }
    const Order order = *known; /* by value; the passage holds the shape */
    PyObject *place = young(self->of[PLACES], raw_path);
    PyObject *within = is_a(place, PLACE) ? slot(place, PLACE_within) : NULL, *allowance = NULL;
    PyObject *limit = within == NULL ? NULL : slot(place, PLACE_limit);
    if (within == Py_None) {
        /* a picture: what the judge would ask, and say to a yes (NeedsUsage) */
        PyObject *picture = slot(place, PLACE_picture), *query = slot(passage, PASSAGE_query);
        if (picture == NULL || !PyTuple_Check(picture) || PyTuple_GET_SIZE(picture) != 3 || self->keeps < 0.0
            || (!self->spends && self->of[SHARING] == Py_None) || self->strips || query == NULL || !PyBytes_CheckExact(query) || PyBytes_GET_SIZE(query)
            || !is_a(allowance = PyTuple_GET_ITEM(picture, 0), ALLOWANCE)
            || (limit = slot(allowance, ALLOWANCE_only)) == Py_None) {
            return 0;
        }
        within = PyTuple_GET_ITEM(picture, 2);
    }
    if (within == NULL || within == Py_None || (only != NULL && within != only)) {
        return 0;
    }
    PyObject *resource = slot(place, PLACE_resource), *kind;
    if (limit == NULL || resource == NULL || !PyTuple_Check(resource) || PyTuple_GET_SIZE(resource) < 1
        || (kind = PyTuple_GET_ITEM(resource, 0)) == self->of[TRAP]) {
        return 0;
    }
    Outcome outcome = {.history = history_of(self, passage, &order, values), .allowance = allowance};
    if (outcome.history == NULL) {
        return 0;
    }
    /* a clock, the faces and a store are Python's, and could let go of both */
    Py_INCREF(place);
    PyObject *history = Py_NewRef(outcome.history), *face = NULL;
    int done = 0;
    double now = 0.0;
    if ((outcome.now = PyObject_CallNoArgs(self->of[CLOCK])) != NULL && number(outcome.now, &now)
        && (face = face_of(self, passage, history, kind, &order, values)) != NULL) {
        Py_INCREF(face);
        done = slot(face, FACE_odd) == Py_False && slot(face, FACE_profile) != NULL
               && slot(face, FACE_role) != NULL && same_bytes(slot(face, FACE_look), slot(history, HISTORY_look))
               && note(self, &outcome, place, kind, &order, now);
    }
    if (done && limit != Py_None) {
        outcome.told = self->spends ? 0 : tells(self);
        if (outcome.told < 0) {
            done = -1;
        }
        else if (self->spends || outcome.told) {
            done = spend(&outcome, limit, now) && (!outcome.told || open_journals(self, &outcome, limit, now))
                   && (allowance == NULL || is_free(self, &outcome, passage, resource, now));
        }
        else if (allowance != NULL) {
            done = 0;
        }
        else {
            /* Where there is no room nothing is charged, so asking once more is the same question. */
            PyObject *asked[] = {history, limit, outcome.now};
            PyObject *exceeded = PyObject_Vectorcall(self->of[CHARGE], asked, 3, NULL);
            done = exceeded == NULL ? -1 : exceeded == Py_None;
            Py_XDECREF(exceeded);
        }
    }
    /* Up to here the request was only looked at. */
    if (done > 0) {
        done = settle(self, passage, &outcome, place, face, within);
    }
    drop(&outcome);
    Py_XDECREF(face);
    Py_DECREF(history);
    Py_DECREF(place);
    return done;
}
