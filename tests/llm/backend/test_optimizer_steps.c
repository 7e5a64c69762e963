/*
 * test_optimizer_steps.c - Adam, AdamW and SGD against the formulas of torch.optim's
 * manual, written out in double for one weight.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fedmq/llm/backend.h"

static const double gradients[] = {0.5, -0.25, 1.0, 0.125, -2.0, 1e-4};
enum { STEPS = sizeof gradients / sizeof gradients[0] };

static int setup(void **state)
{
    *state = llm_backend_reference_new(NULL);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    llm_backend_t *be = *state;
    llm_backend_destroy(&be);
    return 0;
}

static void assert_close(float actual, double expected)
{
    if (!(fabs((double)actual - expected) <= 2e-6 * fmax(fabs(expected), 1e-3)))
        fail_msg("%.9g is not %.9g", (double)actual, expected);
}

static void adam_of(llm_backend_t *be, double decay, bool decoupled)
{
    const double lr = 0.01, beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
    double theta = 0.7;
    double m = 0;
    double v = 0;
    float p = 0.7f;
    float m_now = 0;
    float v_now = 0;
    for (int t = 1; t <= STEPS; t++) {
        double g = gradients[t - 1];
        float grad = (float)g;
        llm_adam_t how = {(float)lr, 0.9f, 0.999f, 1e-8f, (float)decay, decoupled, (uint32_t)t};
        be->ops->adam_step(be, &p, &m_now, &v_now, NULL, &grad, 1, &how);
        if (decoupled)
            theta -= lr * decay * theta;
        else
            g += decay * theta;
        m = beta1 * m + (1 - beta1) * g;
        v = beta2 * v + (1 - beta2) * g * g;
        theta -= lr * (m / (1 - pow(beta1, t))) / (sqrt(v / (1 - pow(beta2, t))) + eps);
        assert_close(p, theta);
        assert_close(m_now, m);
        assert_close(v_now, v);
    }
}

static void adam_follows_its_formula(void **state)
{
    adam_of(*state, 0.0, false);
}

static void adam_adds_decay_to_the_gradient(void **state)
{
    adam_of(*state, 0.1, false);
}

static void adamw_takes_decay_off_the_weight(void **state)
{
    adam_of(*state, 0.1, true);
}

static void the_first_step_of_adam_is_lr_whatever_the_gradient(void **state)
{
    llm_backend_t *be = *state;
    float p[3] = {1, 1, 1};
    float m[3] = {0};
    float v[3] = {0};
    const float g[3] = {1e-3f, 5.0f, -300.0f};
    llm_adam_t how = {1e-3f, 0.9f, 0.999f, 1e-8f, 0, true, 1};
    be->ops->adam_step(be, p, m, v, NULL, g, 3, &how);
    assert_close(p[0], 1 - 1e-3 * (1e-3 / (1e-3 + 1e-8)));
    assert_close(p[1], 1 - 1e-3);
    assert_close(p[2], 1 + 1e-3);
}

static void sgd_of(llm_backend_t *be, double mu, double tau, double decay, bool nesterov)
{
    const double lr = 0.05;
    double theta = 0.7;
    double b = 0;
    float p = 0.7f;
    float b_now = 123.0f; /* never read at the first step */
    for (int t = 1; t <= STEPS; t++) {
        float grad = (float)gradients[t - 1];
        llm_sgd_t how = {(float)lr, (float)mu, (float)tau, (float)decay, nesterov, t == 1};
        be->ops->sgd_step(be, &p, mu > 0 ? &b_now : NULL, &grad, 1, &how);
        double g = gradients[t - 1] + decay * theta;
        if (mu > 0) {
            b = t > 1 ? mu * b + (1 - tau) * g : g;
            g = nesterov ? g + mu * b : b;
        }
        theta -= lr * g;
        assert_close(p, theta);
        if (mu > 0)
            assert_close(b_now, b);
    }
}

static void sgd_follows_its_formula(void **state)
{
    sgd_of(*state, 0, 0, 0, false);
    sgd_of(*state, 0, 0, 0.1, false);
}

static void sgd_with_momentum_starts_from_the_bare_gradient(void **state)
{
    sgd_of(*state, 0.9, 0, 0, false);
    sgd_of(*state, 0.9, 0.5, 0.01, false);
}

static void sgd_with_nesterov_looks_ahead(void **state)
{
    sgd_of(*state, 0.9, 0, 0.01, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adam_follows_its_formula),
        cmocka_unit_test(adam_adds_decay_to_the_gradient),
        cmocka_unit_test(adamw_takes_decay_off_the_weight),
        cmocka_unit_test(the_first_step_of_adam_is_lr_whatever_the_gradient),
        cmocka_unit_test(sgd_follows_its_formula),
        cmocka_unit_test(sgd_with_momentum_starts_from_the_bare_gradient),
        cmocka_unit_test(sgd_with_nesterov_looks_ahead),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
