"""What known minimizers reach on the functions of docs/search.md.

    python -m venv venv && venv/bin/pip install cma==4.5.0 optuna==5.0.0 scikit-optimize==0.10.2 scipy==1.17.1
    venv/bin/python minimizers.py cma|cma-soon|tpe|gp|simplex|uniform 10|20

Prints the sorted figures of five seeds; the tests of core/src/search hold the project's minimizers to them.
"""

import sys
import warnings

import numpy as np

warnings.filterwarnings("ignore")


def sphere(x):
    return float(((x - 1.3) ** 2).sum())


def ellipsoid(x):
    return float((10 ** (6 * np.arange(len(x)) / (len(x) - 1)) * (x - 1.3) ** 2).sum())


def rosenbrock(x):
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def rastrigin(x):
    return float(((x - 1.3) ** 2 - 10 * np.cos(2 * np.pi * (x - 1.3)) + 10).sum())


def cma(function, dimension, seed, most=float("inf")):
    """Evaluations until 1e-8; with restarts until 1e-6 where there are local minima, and after `most` the best value."""
    import cma

    has_local_minima = function is rastrigin
    target = 1e-6 if has_local_minima else 1e-8
    restarts = {"restarts": 9, "incpopsize": 2} if has_local_minima else {}
    start = np.random.default_rng(seed).uniform(-4, 4, dimension)
    options = {"bounds": [-5, 5], "ftarget": target, "seed": seed, "verbose": -9, "maxfevals": most}
    _, strategy = cma.fmin2(lambda x: function(np.asarray(x)), start, 2.0, options, **restarts)
    return strategy.result.evaluations if strategy.result.fbest <= target else strategy.best.f


def cma_soon(function, dimension, seed):
    """Best value after 20,000 evaluations, or evaluations where that was enough."""
    return cma(function, dimension, seed, 20_000)


def tpe(function, dimension, seed):
    """Best value after 300 evaluations."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed - 1))
    names = [str(axis) for axis in range(dimension)]
    study.optimize(lambda trial: function(np.array([trial.suggest_float(name, -5, 5) for name in names])), n_trials=300)
    return study.best_value


def gp(function, dimension, seed):
    """Best value after 100 evaluations, the first 2 for each dimension uniform; expected improvement."""
    import skopt

    found = skopt.gp_minimize(
        lambda x: function(np.array(x)),
        [(-5.0, 5.0)] * dimension,
        acq_func="EI",
        n_initial_points=2 * dimension,
        n_calls=100,
        random_state=seed - 1,
    )
    return found.fun


def simplex(function, dimension, seed):
    """Value after 2,000 evaluations, from 0.5 + 0.1 * (seed - 1) and edges of 0.5 towards 0."""
    from scipy.optimize import minimize

    start = np.full(dimension, 0.5 + 0.1 * (seed - 1))
    first = np.array([start] + [start - 0.5 * unit for unit in np.eye(dimension)])
    options = {"adaptive": True, "initial_simplex": first, "maxfev": 2000, "maxiter": 10**9, "xatol": 0, "fatol": 0}
    bounds = [(-5, 5)] * dimension
    return minimize(function, start, method="Nelder-Mead", bounds=bounds, options=options).fun


def uniform(function, dimension, seed):
    """Five quantiles of the median of five best values after 300 evaluations, one for each seed."""
    draws = np.random.default_rng(1)
    best = lambda: min(function(x) for x in draws.uniform(-5, 5, (300, dimension)))
    medians = [np.median([best() for _ in range(5)]) for _ in range(2000)]
    return np.quantile(medians, [0.001, 0.1, 0.5, 0.9, 0.999][seed - 1])


method = {"cma": cma, "cma-soon": cma_soon, "tpe": tpe, "gp": gp, "simplex": simplex, "uniform": uniform}[sys.argv[1]]
dimension = int(sys.argv[2])
for function in [sphere, ellipsoid, rosenbrock, rastrigin]:
    figures = sorted(float(method(function, dimension, seed)) for seed in range(1, 6))
    print(method.__name__, dimension, function.__name__, figures, flush=True)
