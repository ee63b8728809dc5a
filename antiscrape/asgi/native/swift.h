/* What Python calls: the ways through one middleware. */

static PyObject *
swift_read(PyObject *object, PyObject *scope)
{
    Swift *self = (Swift *)object;
    PyObject *passage = read_usual(self, scope);
    if (passage != NULL) {
        return passage;
    }
    return usual_error() ? PyObject_CallOneArg(self->of[READ], scope) : NULL;
}

static PyObject *
swift_judge(PyObject *object, PyObject *passage)
{
    Swift *self = (Swift *)object;
    int done = is_a(passage, PASSAGE) ? judge_usual(self, passage, NULL) : 0;
    if (done > 0) {
        return Py_NewRef(passage);
    }
    return done == 0 && usual_error() ? PyObject_CallOneArg(self->of[JUDGE], passage) : NULL;
}

/* Return the scope's state, borrowed, where it is a plain dictionary. */
static PyObject *
state_of(PyObject *scope)
{
    PyObject *state = IN_SCOPE(state);
    return state != NULL && PyDict_CheckExact(state) ? state : NULL;
}

/* Tell whether a server is sure to be sent the whole body: by no extension can the site go around ``send``. */
static int
sends_all(Swift *self, PyObject *scope)
{
    PyObject *extensions = PyDict_GetItemWithError(scope, word_extensions);
    if (extensions == NULL) {
        return PyErr_Occurred() == NULL;
    }
    if (!PyDict_CheckExact(extensions)) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->of[SHORTCUTS]); i++) {
        if (PyDict_Contains(extensions, PyTuple_GET_ITEM(self->of[SHORTCUTS], i)) != 0) {
            return 0;
        }
    }
    return 1;
}

static PyObject *
relay_of(PyObject *swift, PyObject *passage, PyObject *to)
{
    Relay *relay = PyObject_GC_New(Relay, &RelayType);
    if (relay != NULL) {
        relay->call = relay_call;
        relay->swift = Py_NewRef(swift);
        relay->passage = Py_NewRef(passage);
        relay->to = Py_NewRef(to);
        relay->handle = relay->responder = relay->status = NULL;
        PyObject_GC_Track(relay);
    }
    return (PyObject *)relay;
}

static PyObject *
swift_begin(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    Swift *self = (Swift *)object;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "begin() takes a scope and a send");
        return NULL;
    }
    PyObject *scope = arguments[0], *passage = NULL, *state;
    int done = 0;
    if (PyDict_CheckExact(scope) && state_of(scope) != NULL && sends_all(self, scope)
        && (passage = read_usual(self, scope)) != NULL
        && !(self->strips && PyBytes_GET_SIZE(slot(passage, PASSAGE_query)))) {
        done = judge_usual(self, passage, self->of[PLAIN]);
    }
    if (done <= 0) {
        Py_XDECREF(passage);
        return done == 0 && usual_error() ? Py_NewRef(Py_None) : NULL;
    }
    PyObject *relay = NULL;
    if ((state = state_of(scope)) != NULL && PyDict_SetItem(state, word_antiscrape, passage) == 0) {
        relay = relay_of(object, passage, arguments[1]);
    }
    else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError, "the scope changed while it was judged");
    }
    Py_DECREF(passage);
    return relay;
}

/* Return what the site is given to answer a request that the Python code judged. */
static PyObject *
swift_relay(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !is_a(arguments[0], PASSAGE)) {
        PyErr_SetString(PyExc_TypeError, "relay() takes a passage and a send");
        return NULL;
    }
    return relay_of(object, arguments[0], arguments[1]);
}

static PyObject *
swift_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {
        "read", "judge", "find_face", "find", "clock", "charge", "shapes", "hosts", "direct", "relayed", "places",
        "trap", "untold", "noted", "plain", "media", "passing", "shortcuts", "responder", "picture", "original",
        "thumbnail", "nobody", "members", "image", "cdn", "private", "note_bytes", "spend_new", "none_odd", "records", "term", "sharing", "visit", "tick", "keeps", "warm",
        "review", "third", "believes", "strips", "spends", "shadow", NULL};
    PyObject *of[ARGUMENTS];
    double visit, tick, keeps, warm;
    long review, third;
    int believes, strips, spends, shadow;
    if (classes[PASSAGE] == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "bind() comes first");
        return NULL;
    }
    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "$OOOOOOOOOOOOOO!OO!O!O!OOOOOOOO!OOOOOO!Oddddllpppp", names, &of[READ], &of[JUDGE], &of[FIND_FACE], &of[FIND],
            &of[CLOCK], &of[CHARGE], &of[SHAPES], &of[HOSTS], &of[DIRECT], &of[RELAYED], &of[PLACES], &of[TRAP],
            &of[UNTOLD], &PyTuple_Type, &of[NOTED], &of[PLAIN], &PyDict_Type, &of[MEDIA], &PyFrozenSet_Type,
            &of[PASSING], &PyTuple_Type, &of[SHORTCUTS], &of[RESPONDER], &of[PICTURE], &of[ORIGINAL], &of[THUMBNAIL],
            &of[NOBODY], &of[MEMBERS], &of[IMAGE], &PyTuple_Type, &of[CDN], &of[PRIVATE], &of[NOTE_BYTES],
            &of[SPEND_NEW], &of[NONE_ODD], &of[RECORDS], &PyList_Type, &of[TERM], &of[SHARING], &visit, &tick, &keeps, &warm, &review, &third, &believes, &strips, &spends, &shadow)) {
        return NULL;
    }
    Swift *self = (Swift *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    for (int i = 0; i < ARGUMENTS; i++) {
        self->of[i] = Py_NewRef(of[i]);
    }
    self->visit = visit;
    self->tick = tick;
    self->keeps = keeps;
    self->warm = warm;
    self->review = review;
    self->third = third;
    self->shadow = shadow;
    self->believes = believes;
    self->strips = strips;
    self->spends = spends;
    return (PyObject *)self;
}

static int
swift_traverse(PyObject *object, visitproc visit, void *arg)
{
    Swift *self = (Swift *)object;
    for (int i = 0; i < REFERENCES; i++) {
        Py_VISIT(self->of[i]);
    }
    for (int i = 0; i < ORDERS; i++) {
        Py_VISIT(self->orders[i].shape);
    }
    for (int i = 0; i < LOOKS; i++) {
        Py_VISIT(self->looks[i].face);
    }
    return 0;
}

static void
swift_dealloc(PyObject *object)
{
    Swift *self = (Swift *)object;
    PyObject_GC_UnTrack(object);
    for (int i = 0; i < REFERENCES; i++) {
        Py_XDECREF(self->of[i]);
    }
    for (int i = 0; i < ORDERS; i++) {
        Py_XDECREF(self->orders[i].text);
        Py_XDECREF(self->orders[i].shape);
    }
    for (int i = 0; i < LOOKS; i++) {
        Py_XDECREF(self->looks[i].face);
        Py_XDECREF(self->looks[i].text);
    }
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef swift_methods[] = {
    {"begin", (PyCFunction)(void (*)(void))swift_begin, METH_FASTCALL, NULL},
    {"judge", swift_judge, METH_O, NULL},
    {"read", swift_read, METH_O, NULL},
    {"relay", (PyCFunction)(void (*)(void))swift_relay, METH_FASTCALL, NULL},
    {NULL},
};

static PyTypeObject SwiftType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "antiscrape.asgi._swift.Swift",
    .tp_basicsize = sizeof(Swift),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = swift_new,
    .tp_dealloc = swift_dealloc,
    .tp_traverse = swift_traverse,
    .tp_methods = swift_methods,
};
