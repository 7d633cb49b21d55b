// Chapter 06's Promise as an addon for Node.js, to run the Promises/A+ suite against it.
//
// The type of a JavaScript value is known only at run time. This bridge tells apart our promises,
// foreign thenables and plain values. Everything else (when handlers run and in which order, what
// adoption does, that a thenable's first callback counts) is the unchanged code of
// chapters/06-promises.
//
// It uses Node-API's C functions (node_api.h) and needs only Node's own headers.
#include <node_api.h>

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <utility>

#include "chapters/06-promises/promise.hpp"

namespace {

using promises::Deferred;
using promises::Promise;

napi_env env = nullptr;              // this addon is loaded once
promises::JobQueue* jobs = nullptr;  // never destroyed: JavaScript may hold promises until the end
napi_ref promise_class = nullptr;
constexpr napi_type_tag our_tag = {0x06a51c7d1b7e4f02, 0x9c0d5bd34ab0f6aa};

napi_value undefined() {
    napi_value value = nullptr;
    napi_get_undefined(env, &value);
    return value;
}

/// A JavaScript value, which is not garbage-collected while a copy of this object exists.
class Value {
public:
    explicit Value(napi_value value) : box_(new napi_ref, free_box) {
        napi_value box = nullptr;  // a reference must be to an object, so an object holds the value
        napi_create_object(env, &box);
        napi_set_element(env, box, 0, value);
        napi_create_reference(env, box, 1, box_.get());
    }

    [[nodiscard]] napi_value get() const {
        napi_value box = nullptr;
        napi_value value = nullptr;
        napi_get_reference_value(env, *box_, &box);
        napi_get_element(env, box, 0, &value);
        return value;
    }

private:
    static void free_box(napi_ref* box) {
        napi_delete_reference(env, *box);
        delete box;
    }

    std::shared_ptr<napi_ref> box_;
};

/// A C++ exception that carries what JavaScript threw.
struct Thrown {
    Value value;
};

/// Throws what JavaScript threw, which Node-API reports as a status.
void check(napi_status status) {
    if (status == napi_ok) return;
    napi_value error = undefined();
    napi_get_and_clear_last_exception(env, &error);
    throw Thrown{Value(error)};
}

napi_value reason_of(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const Thrown& thrown) {
        return thrown.value.get();
    } catch (const std::exception& exception) {  // promises::TypeError
        napi_value message = nullptr;
        napi_value type_error = nullptr;
        napi_create_string_utf8(env, exception.what(), NAPI_AUTO_LENGTH, &message);
        napi_create_type_error(env, nullptr, message, &type_error);
        return type_error;
    }
}

bool is_function(napi_value value) {
    napi_valuetype type{};
    napi_typeof(env, value, &type);
    return type == napi_function;
}

bool is_object_or_function(napi_value value) {
    napi_valuetype type{};
    napi_typeof(env, value, &type);
    return type == napi_object || type == napi_function;
}

// --- C++ functions and promises for JavaScript --------------------------------------------------

using Function = std::function<void(napi_value argument)>;

napi_value call_function(napi_env /*env*/, napi_callback_info info) {
    std::size_t count = 1;
    napi_value argument = undefined();
    void* function = nullptr;
    napi_get_cb_info(env, info, &count, &argument, nullptr, &function);
    (*static_cast<Function*>(function))(argument);
    return undefined();
}

napi_value make_function(Function function) {
    auto* const owned = new Function(std::move(function));
    napi_value made = nullptr;
    napi_create_function(env, nullptr, 0, call_function, owned, &made);
    napi_add_finalizer(
        env, made, owned, [](napi_env, void* data, void*) { delete static_cast<Function*>(data); },
        nullptr, nullptr);
    return made;
}

/// A JavaScript object of our class, with then().
napi_value make_promise(const Promise<Value>& promise) {
    napi_value constructor = nullptr;
    napi_value object = nullptr;
    napi_get_reference_value(env, promise_class, &constructor);
    napi_new_instance(env, constructor, 0, nullptr, &object);
    napi_wrap(
        env, object, new Promise<Value>(promise),
        [](napi_env, void* data, void*) { delete static_cast<Promise<Value>*>(data); }, nullptr,
        nullptr);
    napi_type_tag_object(env, object, &our_tag);
    return object;
}

bool is_our_promise(napi_value value) {
    bool ours = false;
    napi_check_object_type_tag(env, value, &our_tag, &ours);
    return ours;
}

const Promise<Value>& our_promise(napi_value value) {
    void* promise = nullptr;
    napi_unwrap(env, value, &promise);
    return *static_cast<Promise<Value>*>(promise);
}

// --- JavaScript values for C++ ------------------------------------------------------------------

/// A foreign object with a then(): a promises::Thenable.
class Thenable {
public:
    using value_type = Value;

    Thenable(napi_value object, napi_value then) : object_(object), then_(then) {}

    template <typename F, typename G>
    void then(F on_value, G on_error) const;

private:
    Value object_;
    Value then_;
};

/// Calls `resolve` with `x` as what it is: one of our promises, a thenable, or a plain value.
/// Throws what reading `x.then` throws.
template <typename F>
void pass(napi_value x, const F& resolve) {
    if (is_object_or_function(x)) {
        if (is_our_promise(x)) return resolve(our_promise(x));
        napi_value then = nullptr;
        check(napi_get_named_property(env, x, "then", &then));  // only once: it may be a getter
        if (is_function(then)) return resolve(Thenable(x, then));
    }
    resolve(Value(x));
}

template <typename F, typename G>
void Thenable::then(F on_value, G on_error) const {
    napi_value handlers[] = {make_function([=](napi_value y) {
                                 try {
                                     pass(y, on_value);
                                 } catch (const Thrown&) {
                                     on_error(std::current_exception());
                                 }
                             }),
                             make_function([=](napi_value reason) {
                                 on_error(std::make_exception_ptr(Thrown{Value(reason)}));
                             })};
    check(napi_call_function(env, object_.get(), then_.get(), 2, handlers, nullptr));
}

void resolve(const Deferred<Value>& deferred, napi_value x) {
    try {
        pass(x, [&](const auto& value) { deferred.resolve(value); });
    } catch (const Thrown&) {
        deferred.reject(std::current_exception());
    }
}

/// Returns a promise of what the JavaScript function returns.
Promise<Value> call(const Value& function, napi_value argument) {
    napi_value result = nullptr;
    check(napi_call_function(env, undefined(), function.get(), 1, &argument, &result));
    const Deferred<Value> deferred(*jobs);
    resolve(deferred, result);
    return deferred.promise();
}

// --- The interface for JavaScript ---------------------------------------------------------------

/// promise.then(onFulfilled, onRejected). An argument that is not a function is ignored.
napi_value then(napi_env /*env*/, napi_callback_info info) {
    std::size_t count = 2;
    napi_value handlers[] = {undefined(), undefined()};
    napi_value self = nullptr;
    napi_get_cb_info(env, info, &count, handlers, &self, nullptr);
    const Promise<Value>& promise = our_promise(self);

    const auto on_value = [f = Value(handlers[0])](const Value& value) {
        return call(f, value.get());
    };
    const auto on_error = [g = Value(handlers[1])](const std::exception_ptr& error) {
        return call(g, reason_of(error));
    };
    const bool has_value = is_function(handlers[0]);
    const bool has_error = is_function(handlers[1]);
    if (has_value && has_error) return make_promise(promise.then(on_value, on_error));
    if (has_value) return make_promise(promise.then(on_value));
    if (has_error) return make_promise(promise.catch_error(on_error));
    return make_promise(promise.then(promises::Passthrough()));
}

/// deferred(): { promise, resolve, reject }.
napi_value deferred(napi_env /*env*/, napi_callback_info /*info*/) {
    const Deferred<Value> made(*jobs);
    napi_value object = nullptr;
    napi_create_object(env, &object);
    napi_set_named_property(env, object, "promise", make_promise(made.promise()));
    napi_set_named_property(env, object, "resolve",
                            make_function([made](napi_value x) { resolve(made, x); }));
    napi_set_named_property(env, object, "reject", make_function([made](napi_value reason) {
                                made.reject(std::make_exception_ptr(Thrown{Value(reason)}));
                            }));
    return object;
}

napi_value run_jobs(napi_env /*env*/, napi_callback_info /*info*/) {
    jobs->run();
    return undefined();
}

/// Node's event loop runs our jobs: setImmediate(run_jobs) whenever the queue gets work. By then
/// the code that called resolve() or then() has returned.
void run_jobs_soon() {
    napi_value global = nullptr;
    napi_value set_immediate = nullptr;
    napi_value run = nullptr;
    napi_get_global(env, &global);
    napi_get_named_property(env, global, "setImmediate", &set_immediate);
    napi_create_function(env, nullptr, 0, run_jobs, nullptr, &run);
    napi_call_function(env, global, set_immediate, 1, &run, nullptr);
}

napi_value start(napi_env given, napi_value exports) {
    env = given;
    jobs = new promises::JobQueue;
    jobs->on_work(run_jobs_soon);
    jobs->on_unhandled([](const std::exception_ptr&) {});  // the suite leaves many of them

    const napi_property_descriptor method = {"then",  nullptr, then,         nullptr,
                                             nullptr, nullptr, napi_default, nullptr};
    const auto construct = [](napi_env, napi_callback_info info) {
        napi_value self = nullptr;
        napi_get_cb_info(env, info, nullptr, nullptr, &self, nullptr);
        return self;
    };
    napi_value constructor = nullptr;
    napi_define_class(env, "Promise", NAPI_AUTO_LENGTH, construct, nullptr, 1, &method,
                      &constructor);
    napi_create_reference(env, constructor, 1, &promise_class);

    napi_value function = nullptr;
    napi_create_function(env, nullptr, 0, deferred, nullptr, &function);
    napi_set_named_property(env, exports, "deferred", function);
    return exports;
}

}  // namespace

NAPI_MODULE(promises, start)
