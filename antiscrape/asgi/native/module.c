/* A known clean client's request in C: read, judged, and its answer let through. And, apart from that, what of a page needs
 * no reading (skim.h), which is about bytes only.
 *
 * Everything here is a shorter way to what HeadReader.read, Gate.judge and Responder.send do, on the same
 * objects: nothing is kept here but references to them, and the names of fields in orders that came lately.
 * The rule that makes it safe to read: up to the point that a comment marks, a request is only looked at.
 * Whatever is not plain before that point (a type that is not the usual one, a path not asked for lately, a
 * client not met lately, anything that speaks against it, a budget without room, a review that is due)
 * leaves the request as it came, and the Python code does the whole of it. So there is no second judge: this
 * one knows a single sentence, "as usual". Of pictures that sentence is said of those that cost a request and
 * no more: an original that was charged before, or a size that no budget counts.
 *
 * Slots of Python objects are read where their descriptors say that they are, looked up once in bind().
 * An empty slot is NULL, and every type is checked before it is relied on: a header list or a scope may hold
 * anything that a server or an outer middleware puts there.
 *
 * It is compiled as one: each of these files needs those above it.
 */

#include "objects.h"
#include "reading.h"
#include "knowing.h"
#include "charging.h"
#include "noting.h"
#include "judging.h"
#include "weighing.h"
#include "answering.h"
#include "swift.h"
#include "passing.h"
#include "door.h"
#include "skim.h"

/* Find where a class keeps a slot; TypeError where it keeps none of this name. */
static int
find_slot(PyTypeObject *class, const char *name, Py_ssize_t *offset)
{
    PyObject *found = PyObject_GetAttrString((PyObject *)class, name);
    if (found == NULL || !Py_IS_TYPE(found, &PyMemberDescr_Type)
        || ((PyMemberDescrObject *)found)->d_member->type != T_OBJECT_EX
        || !PyType_IsSubtype(class, PyDescr_TYPE(found))) {
        PyErr_Format(PyExc_TypeError, "%s has no slot named %s", class->tp_name, name);
        Py_XDECREF(found);
        return 0;
    }
    *offset = ((PyMemberDescrObject *)found)->d_member->offset;
    Py_DECREF(found);
    return 1;
}

static PyObject *
bind(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyTypeObject *given[CLASSES];
    if (!PyArg_ParseTuple(
            args, "O!O!O!O!O!O!O!O!O!O!O!O!O!O!", &PyType_Type, &given[PASSAGE], &PyType_Type, &given[HISTORY], &PyType_Type,
            &given[NETWORK], &PyType_Type, &given[PLACE], &PyType_Type, &given[FACE], &PyType_Type, &given[MEMO], &PyType_Type, &given[LIMIT],
            &PyType_Type, &given[SHAPE], &PyType_Type, &given[ALLOWANCE], &PyType_Type, &given[HABITS], &PyType_Type,
            &given[ODDITIES], &PyType_Type, &given[MEMBER], &PyType_Type, &given[PACE], &PyType_Type,
            &given[JOURNAL])) {
        return NULL;
    }
#define FIND(class, name) \
    if (!find_slot(given[class], #name, &class##_##name)) { \
        return NULL; \
    }
    SLOTS(FIND)
#undef FIND
    for (int i = 0; i < CLASSES; i++) {
        Py_XSETREF(classes[i], (PyTypeObject *)Py_NewRef(given[i]));
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"bind", bind, METH_VARARGS, NULL},
    {"skim", (PyCFunction)(void (*)(void))skim, METH_FASTCALL, NULL},
    {"value_at", (PyCFunction)(void (*)(void))value_at, METH_FASTCALL, NULL},
    {"whole_tag", (PyCFunction)(void (*)(void))whole_tag, METH_FASTCALL, NULL},
    {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "antiscrape.asgi._swift",
    .m_doc = "A known clean client's request in C, and the skimming of pages; see antiscrape.asgi.swift, antiscrape.asgi.skimming.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC
PyInit__swift(void)
{
#define INTERN(name) \
    if ((word_##name = PyUnicode_InternFromString(#name)) == NULL) { \
        return NULL; \
    }
    WORDS(INTERN)
    INTERN(https)
    INTERN(wss)
#undef INTERN
    if ((word_start = PyUnicode_InternFromString("http.response.start")) == NULL
        || (word_head = PyUnicode_InternFromString("HEAD")) == NULL
        || (word_get = PyUnicode_InternFromString("GET")) == NULL
        || (word_cache_control = PyBytes_FromString("cache-control")) == NULL) {
        return NULL;
    }
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || PyModule_AddType(module, &SwiftType) < 0 || PyModule_AddType(module, &RelayType) < 0
        || PyModule_AddType(module, &DoorType) < 0 || PyModule_AddType(module, &PassingType) < 0
        || PyModule_AddStringConstant(module, "SOURCE", SOURCE) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
