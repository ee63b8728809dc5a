/* A request on its way through the site, from where it is asked to where what became of it is counted. */

/* What requests go to: the swift way for those about which all is as usual, ``others`` for the rest. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *begin, *app, *others, *excuse, *broken; /* the last: what the site raises when it breaks off */
    PyObject *plain, *standing, *allowed, *record;    /* the verdict that is only counted, where, and what takes the others */
    PyObject *below, *mention; /* the paths of the browser's check, and its cookie; None where there is no check */
} Door;

/* A request on its way through the site: Middleware._serve from where the site is asked, without a frame of its own. */
typedef struct {
    PyObject_HEAD
    PyObject *door, *relay, *scope;
    PyObject *inner;   /* what is awaited: the site, then perhaps the excuse for it; NULL when that is over */
    PyObject *excused; /* what the site broke off with, while that is excused; else NULL */
    int counted, running;
} Passing;

static PyTypeObject PassingType;

/* Count or record what became of a request, once; -1 with an error. */
static int
note_down(Passing *self)
{
    Door *door = (Door *)self->door;
    Relay *relay = (Relay *)self->relay;
    if (self->counted) {
        return 0;
    }
    self->counted = 1;
    if (slot(relay->passage, PASSAGE_verdict) != door->plain) {
        PyObject *status = relay_status(self->relay, NULL);
        PyObject *asked[] = {relay->passage, status};
        PyObject *done = status == NULL ? NULL : PyObject_Vectorcall(door->record, asked, 2, NULL);
        Py_XDECREF(status);
        Py_XDECREF(done);
        return done == NULL ? -1 : 0;
    }
    PyObject *known = PyDict_GetItemWithError(door->allowed, door->standing);
    long so_far = known != NULL ? PyLong_AsLong(known) : -1;
    PyObject *more = so_far < 0 ? NULL : PyLong_FromLong(so_far + 1);
    int done = more == NULL ? -1 : PyDict_SetItem(door->allowed, door->standing, more);
    Py_XDECREF(more);
    if (done < 0 && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError, "the recorder's counts are gone");
    }
    return done;
}

/* Return the error that is on its way, with its traceback, and take it off. */
static PyObject *
taken_error(void)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(value, trace);
    }
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return value;
}

/* The same with an error on its way, which goes on; where counting raises one, that one does, with the first as its context. */
static void
note_error(Passing *self)
{
    PyObject *error = taken_error(), *former = PyErr_GetHandledException();
    PyErr_SetHandledException(error);
    if (note_down(self) == 0) {
        PyErr_Restore(Py_NewRef(Py_TYPE(error)), Py_NewRef(error), PyException_GetTraceback(error));
    }
    PyErr_SetHandledException(former);
    Py_XDECREF(former);
    Py_DECREF(error);
}

/* Tell whether a generator is one of those that are awaited (types.coroutine). */
static int
is_awaited(PyObject *generator)
{
    PyObject *code = PyObject_GetAttrString(generator, "gi_code");
    int awaited = code != NULL && PyCode_Check(code) && ((PyCodeObject *)code)->co_flags & CO_ITERABLE_COROUTINE;
    Py_XDECREF(code);
    return awaited;
}

/* Return what an awaitable is waited for by; TypeError, as of an ``await``, where it is none. */
static PyObject *
waiter(PyObject *awaitable)
{
    if (awaitable == NULL || PyCoro_CheckExact(awaitable) || (PyGen_CheckExact(awaitable) && is_awaited(awaitable))) {
        return awaitable;
    }
    PyAsyncMethods *ways = Py_TYPE(awaitable)->tp_as_async;
    PyObject *found = NULL;
    if (ways == NULL || ways->am_await == NULL) {
        PyErr_Format(PyExc_TypeError, "object %.100s can't be used in 'await' expression", Py_TYPE(awaitable)->tp_name);
    }
    else if ((found = ways->am_await(awaitable)) != NULL && (PyCoro_CheckExact(found) || !PyIter_Check(found))) {
        PyErr_Format(PyExc_TypeError, "__await__() returned no iterator but %.100s", Py_TYPE(found)->tp_name);
        Py_CLEAR(found);
    }
    Py_DECREF(awaitable);
    return found;
}

/* Take the error that the site ended with: 1 where it is one to be excused, which is awaited from now on; else 0. */
static int
excused(Passing *self)
{
    Door *door = (Door *)self->door;
    Py_CLEAR(self->inner);
    if (self->excused != NULL || !PyErr_ExceptionMatches(door->broken)) {
        return 0;
    }
    PyObject *asked[] = {self->excused = taken_error(), self->relay, self->scope};
    self->inner = waiter(PyObject_Vectorcall(door->excuse, asked, 3, NULL));
    return self->inner != NULL;
}

/* Before what is awaited goes on: an excuse is made where its error is handled, as in an ``except``. Return the former one. */
static PyObject *
run_on(Passing *self)
{
    PyObject *former = self->excused == NULL ? NULL : PyErr_GetHandledException();
    if (self->excused != NULL) {
        PyErr_SetHandledException(self->excused);
    }
    self->running = 1;
    return former;
}

/* After it has. */
static void
hold_on(Passing *self, PyObject *former)
{
    self->running = 0;
    if (self->excused != NULL) {
        PyErr_SetHandledException(former);
        Py_XDECREF(former);
    }
}

/* Tell whether a request can be gone on with, and raise what generators do where it cannot. */
static int
waits(Passing *self)
{
    if (self->running) {
        PyErr_SetString(PyExc_ValueError, "a request is on its way already");
    }
    else if (self->inner == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a request is awaited once");
    }
    return !self->running && self->inner != NULL;
}

static PySendResult
passing_send(PyObject *object, PyObject *value, PyObject **result)
{
    Passing *self = (Passing *)object;
    *result = NULL;
    if (!waits(self)) {
        return PYGEN_ERROR;
    }
    for (;;) {
        PyObject *former = run_on(self);
        PySendResult how = PyIter_Send(self->inner, value, result);
        hold_on(self, former);
        if (how == PYGEN_NEXT) {
            return how;
        }
        if (how == PYGEN_ERROR && excused(self)) {
            value = Py_None;
            continue;
        }
        Py_CLEAR(self->inner);
        if (how == PYGEN_ERROR) {
            note_error(self);
            return how;
        }
        Py_DECREF(*result);
        *result = NULL;
        if (note_down(self) < 0) {
            return PYGEN_ERROR;
        }
        *result = Py_NewRef(Py_None);
        return how;
    }
}

/* Return what a generator's method returns of what was sent: what is yielded, or an error, which an end is, too. */
static PyObject *
told_of(PySendResult how, PyObject *result)
{
    if (how == PYGEN_RETURN) {
        Py_CLEAR(result);
        PyErr_SetNone(PyExc_StopIteration);
    }
    return result;
}

static PyObject *
passing_next(PyObject *object)
{
    PyObject *result;
    PySendResult how = passing_send(object, Py_None, &result);
    return told_of(how, result);
}

static PyObject *
passing_send_method(PyObject *object, PyObject *value)
{
    PyObject *result;
    PySendResult how = passing_send(object, value, &result);
    return told_of(how, result);
}

/* Return a method that an iterator may have; NULL, with or without an error, where it has none. */
static PyObject *
method_of(PyObject *iterator, PyObject *name)
{
    PyObject *method = PyObject_GetAttr(iterator, name);
    if (method == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    return method;
}

/* Raise what throw() is given: an error, or its class, perhaps with a value. */
static void
raise_given(PyObject *arguments)
{
    PyObject *type, *value = NULL, *trace = NULL;
    if (PyArg_UnpackTuple(arguments, "throw", 1, 3, &type, &value, &trace)) {
        int is_error = PyExceptionInstance_Check(type);
        PyErr_SetObject(is_error ? (PyObject *)Py_TYPE(type) : type, is_error ? type : value);
    }
}

/* Raise an error where the request waits: a client that left, a server that ends. */
static PyObject *
passing_throw(PyObject *object, PyObject *arguments)
{
    Passing *self = (Passing *)object;
    if (!waits(self)) {
        return NULL;
    }
    PyObject *throws = method_of(self->inner, word_throw), *yielded = NULL;
    if (throws == NULL && !PyErr_Occurred()) {
        raise_given(arguments);
    }
    if (throws != NULL) {
        PyObject *former = run_on(self);
        yielded = PyObject_Call(throws, arguments, NULL);
        hold_on(self, former);
        Py_DECREF(throws);
    }
    if (yielded != NULL) {
        return yielded;
    }
    if (PyErr_ExceptionMatches(PyExc_StopIteration)) { /* it was caught, and the site is done */
        Py_CLEAR(self->inner);
        note_error(self);
        if (PyErr_ExceptionMatches(PyExc_StopIteration)) {
            PyErr_Clear();
            PyErr_SetNone(PyExc_StopIteration);
        }
        return NULL;
    }
    if (excused(self)) {
        return passing_next(object);
    }
    note_error(self);
    return NULL;
}

static PyObject *
passing_close(PyObject *object, PyObject *Py_UNUSED(none))
{
    Passing *self = (Passing *)object;
    PyObject *inner = self->inner;
    if (inner == NULL) {
        Py_RETURN_NONE;
    }
    if (!waits(self)) { /* what runs must not be let go of */
        return NULL;
    }
    self->inner = NULL;
    PyObject *closes = method_of(inner, word_close), *done = closes == NULL ? NULL : PyObject_CallNoArgs(closes);
    Py_XDECREF(closes);
    Py_XDECREF(done);
    Py_DECREF(inner);
    if (PyErr_Occurred()) {
        note_error(self);
        return NULL;
    }
    if (note_down(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Let go of what nobody will go on with, and count it. */
static void
passing_finalize(PyObject *object)
{
    Passing *self = (Passing *)object;
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    Py_CLEAR(self->inner);
    if (note_down(self) < 0) {
        PyErr_WriteUnraisable(object);
    }
    PyErr_Restore(type, value, trace);
}

static int
passing_traverse(PyObject *object, visitproc visit, void *arg)
{
    Passing *self = (Passing *)object;
    Py_VISIT(self->door);
    Py_VISIT(self->relay);
    Py_VISIT(self->scope);
    Py_VISIT(self->inner);
    Py_VISIT(self->excused);
    return 0;
}

static int
passing_clear(PyObject *object)
{
    Py_CLEAR(((Passing *)object)->inner); /* only what could lead back here */
    return 0;
}

static void
passing_dealloc(PyObject *object)
{
    Passing *self = (Passing *)object;
    if (self->inner != NULL && PyObject_CallFinalizerFromDealloc(object) < 0) {
        return;
    }
    PyObject_GC_UnTrack(object);
    Py_XDECREF(self->inner);
    Py_XDECREF(self->excused);
    Py_XDECREF(self->relay);
    Py_XDECREF(self->scope);
    Py_XDECREF(self->door);
    PyObject_GC_Del(object);
}

static PyMethodDef passing_methods[] = {
    {"close", passing_close, METH_NOARGS, NULL},
    {"send", passing_send_method, METH_O, NULL},
    {"throw", passing_throw, METH_VARARGS, NULL},
    {NULL},
};

static PyAsyncMethods passing_async = {.am_await = PyObject_SelfIter, .am_send = passing_send};

static PyTypeObject PassingType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "antiscrape.asgi._swift.Passing",
    .tp_basicsize = sizeof(Passing),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_as_async = &passing_async,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = passing_next,
    .tp_dealloc = passing_dealloc,
    .tp_traverse = passing_traverse,
    .tp_clear = passing_clear,
    .tp_finalize = passing_finalize,
    .tp_methods = passing_methods,
};
