/* Noting: what History.note_request and the budgets of pictures would make of a request, before anything is written. */

/* Tell whether two whole numbers are the same. */
static inline int
same_number(PyObject *one, PyObject *other)
{
    return one == other
           || (one != NULL && other != NULL && PyLong_CheckExact(one) && PyLong_CheckExact(other)
               && PyObject_RichCompareBool(one, other, Py_EQ) == 1);
}

static inline int
is_zero(PyObject *object)
{
    return object != NULL && PyLong_CheckExact(object) && PyObject_IsTrue(object) == 0;
}

/* What a Resource holds, as far as pictures are concerned. */
enum { RESOURCE_KIND, RESOURCE_IDENTITY = 2, RESOURCE_SIZE, RESOURCE_FIELDS };

/* Read a whole number that a visit's habits keep; -1 where there is none. */
static inline long
count_of(PyObject *object, Py_ssize_t offset)
{
    PyObject *held = slot(object, offset);
    if (held == NULL || !PyLong_CheckExact(held)) {
        return -1;
    }
    long count = PyLong_AsLong(held);
    if (count < 0) {
        PyErr_Clear();
        return -1;
    }
    return count;
}

/* Tell whether a visit will be calm (signals.navigation.is_calm) with one original more, whatever the request says: one
 * that adds to what is odd comes nowhere near to telling of it. Where it is close, the Python code looks. */
static int
stays_calm(Swift *self, PyObject *history, int returned)
{
    PyObject *habits = slot(history, HISTORY_habits), *pace = slot(habits, HABITS_pace);
    if (slot(habits, HABITS_odd) != self->of[NONE_ODD] || (pace != Py_None && !is_a(pace, PACE))) {
        return 0;
    }
    long images = count_of(habits, HABITS_images), pages = count_of(habits, HABITS_pages);
    long thumbnails = count_of(habits, HABITS_thumbnails), assets = count_of(habits, HABITS_assets);
    long run = count_of(habits, HABITS_run), hurry = count_of(habits, HABITS_hurry), typed = count_of(habits, HABITS_typed);
    long unreferred = count_of(habits, HABITS_unreferred), cookies = count_of(habits, HABITS_cookies_offered);
    long minute = count_of(habits, HABITS_minute_pages), ring = count_of(habits, HABITS_ring);
    long equal = pace == Py_None ? 0 : count_of(pace, PACE_equal);
    if ((images | pages | thumbnails | assets | run | hurry | typed | unreferred | cookies | minute | ring | equal) < 0) {
        return 0;
    }
    return images < 198 && run < 7 && hurry < 8 && typed < 8 && unreferred < 7 && minute <= 40 && equal < 7
           && (images < 4 || (pages && (thumbnails || 2 * pages <= images)))
           && (pages < 4 || assets || thumbnails)
           && (cookies < 4 || returned || slot(history, HISTORY_cookies_returned) == Py_True)
           && __builtin_popcountl((unsigned long)ring) < 12;
}

/* Work out what History.note_request would do about a picture: nothing for the latest once more, a call for another. */
static int
note_picture(Swift *self, Outcome *outcome, PyObject *resource)
{
    PyObject *habits = slot(outcome->history, HISTORY_habits), *size;
    if (!is_a(habits, HABITS) || PyTuple_GET_SIZE(resource) < RESOURCE_FIELDS) {
        return 0;
    }
    size = PyTuple_GET_ITEM(resource, RESOURCE_SIZE);
    if (same_number(PyTuple_GET_ITEM(resource, RESOURCE_IDENTITY), slot(habits, HABITS_image))) {
        return 1;
    }
    outcome->fresh = size == self->of[ORIGINAL];
    outcome->noted = outcome->fresh || size == self->of[THUMBNAIL];
    return !outcome->fresh || stays_calm(self, outcome->history, outcome->returned);
}

/* Work out what History.note_request would write; tell whether the visit goes on and needs no review. */
static int
note(Swift *self, Outcome *outcome, PyObject *place, PyObject *kind, const Order *order, double now)
{
    PyObject *history = outcome->history, *visit = slot(history, HISTORY_visit), *score;
    PyObject *news = slot(history, HISTORY_news), *requests = slot(history, HISTORY_requests);
    double last, held;
    if (!number(slot(history, HISTORY_last), &last) || now - last > self->visit
        || !number(slot(history, HISTORY_held_until), &held) || held > now) {
        return 0;
    }
    outcome->later = now - last > self->tick;
    if (visit == NULL || !PyTuple_Check(visit) || PyTuple_GET_SIZE(visit) != 2
        || !PyLong_CheckExact(score = PyTuple_GET_ITEM(visit, 0)) || PyObject_IsTrue(score) != 0) {
        return 0;
    }
    if (requests == NULL || !PyLong_CheckExact(requests)) {
        return 0;
    }
    long count = PyLong_AsLong(requests);
    if (count < 0 || (outcome->requests = PyLong_FromLong(count + 1)) == NULL) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->of[NOTED]); i++) {
        outcome->noted |= PyTuple_GET_ITEM(self->of[NOTED], i) == kind;
    }
    outcome->returned = order->cookie && slot(history, HISTORY_cookies_returned) == Py_False;
    if (outcome->allowance != NULL && !note_picture(self, outcome, slot(place, PLACE_resource))) {
        return 0;
    }
    if (outcome->fresh) {
        return slot(history, HISTORY_outside) != NULL;
    }
    int due = slot(place, PLACE_watched) != Py_False || !((count + 1) & self->review);
    return !due || !(outcome->noted || outcome->returned || news != Py_False);
}

/* Tell whether a record has room for bytes (spending.bytes_left). */
static int
has_room(PyObject *tats, PyObject *limits, double now)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(limits); i++) {
        PyObject *limit = PyTuple_GET_ITEM(limits, i), *kept = NULL;
        double amount, window, tat = now;
        if (!is_a(limit, LIMIT) || !number(slot(limit, LIMIT_amount), &amount) || amount == 0.0
            || !number(slot(limit, LIMIT_window), &window) || slot(limit, LIMIT_of_bytes) == NULL) {
            return 0;
        }
        if (tats != Py_None) {
            if (tats == NULL || !PyDict_CheckExact(tats)) {
                return 0;
            }
            kept = PyDict_GetItemWithError(tats, slot(limit, LIMIT_of_bytes));
        }
        if (PyErr_Occurred() || (kept != NULL && !number(kept, &tat)) || tat - now >= window) {
            return 0;
        }
    }
    return 1;
}

/* Charge an original that nobody near has had (MemoryStore.spend_new); tell whether that was done. */
static int
spend_new(Swift *self, Outcome *outcome, PyObject *identity)
{
    PyObject *asked[] = {outcome->history, slot(outcome->allowance, ALLOWANCE_originals), identity, outcome->now};
    PyObject *done = asked[1] == NULL ? NULL : PyObject_Vectorcall(self->of[SPEND_NEW], asked, 4, NULL);
    Py_XDECREF(done);
    return done == Py_True;
}

/* Tell whether an original was charged before, and nothing is to be forgotten (MemoryStore._spend_distinct), and
 * whether History.note_again has nothing to add. */
static int
was_had(Swift *self, Outcome *outcome, PyObject *passage, PyObject *identity, double now)
{
    PyObject *originals = slot(outcome->history, HISTORY_originals), *first, *key, *odd;
    Py_ssize_t at = 0;
    double charged;
    if (originals == NULL || !PyDict_CheckExact(originals) || PyDict_Contains(originals, identity) != 1
        || !PyDict_Next(originals, &at, &key, &first) || !number(first, &charged) || !(charged > now - self->keeps)) {
        return 0;
    }
    odd = slot(slot(outcome->history, HISTORY_habits), HABITS_odd);
    if (!is_a(odd, ODDITIES)) {
        return 0;
    }
    if (slot(slot(passage, PASSAGE_shape), SHAPE_conditional) != Py_False) {
        return is_zero(slot(odd, ODDITIES_again));
    }
    return !same_text(slot(passage, PASSAGE_method), word_get) || same_number(slot(odd, ODDITIES_anew), identity);
}

/* Tell whether an original can tell groups nothing new (Spread.passes). */
static int
is_told(Swift *self, Outcome *outcome, PyObject *identity, double now)
{
    PyObject *habits = slot(outcome->history, HISTORY_habits), *member, *images;
    double last;
    if (self->of[MEMBERS] == Py_None || slot(outcome->history, HISTORY_rollup) == Py_None) {
        return 1;
    }
    member = young(self->of[MEMBERS], slot(outcome->history, HISTORY_key));
    if (!is_a(member, MEMBER) || slot(member, MEMBER_token) != Py_None || !number(slot(member, MEMBER_last), &last)
        || now - last > self->visit) {
        return 0;
    }
    if (!(now < self->warm) && is_zero(slot(habits, HABITS_thumbnails)) && is_zero(slot(habits, HABITS_assets))) {
        return 0;
    }
    images = slot(member, MEMBER_images);
    if (images == NULL || !PyTuple_CheckExact(images)
        || (PyTuple_GET_SIZE(images) < self->third && PySequence_Contains(images, identity) != 1)) {
        return 0;
    }
    outcome->member = member;
    return 1;
}

/* Tell whether a picture is one that costs a request and nothing else: had before, or none that is counted. */
static int
is_free(Swift *self, Outcome *outcome, PyObject *passage, PyObject *resource, double now)
{
    PyObject *limits = slot(outcome->allowance, ALLOWANCE_bytes);
    if (limits == NULL || !PyTuple_CheckExact(limits) || slot(outcome->history, HISTORY_trouble) != Py_None
        || !has_room(slot(outcome->history, HISTORY_tats), limits, now)) {
        return 0;
    }
    for (int i = 0; i < outcome->levels; i++) {
        if (!has_room(slot(outcome->networks[i], NETWORK_tats), limits, now)) {
            return 0;
        }
    }
    if (PyTuple_GET_ITEM(resource, RESOURCE_SIZE) != self->of[ORIGINAL]) {
        return 1;
    }
    PyObject *identity = PyTuple_GET_ITEM(resource, RESOURCE_IDENTITY);
    if (!outcome->fresh || PyDict_CheckExact(slot(outcome->history, HISTORY_originals)) == 0) {
        return was_had(self, outcome, passage, identity, now) && is_told(self, outcome, identity, now);
    }
    int had = PyDict_Contains(slot(outcome->history, HISTORY_originals), identity);
    return had >= 0 && is_told(self, outcome, identity, now)
           && (had ? was_had(self, outcome, passage, identity, now) : spend_new(self, outcome, identity));
}
