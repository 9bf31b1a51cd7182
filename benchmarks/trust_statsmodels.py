"""statsmodels: likelihoods, scores and Hessians, a part of the catalogue of ``trust_libraries``."""

import warnings
from collections.abc import Iterator

import numpy as np
from trust_pairs import Pair, diagonal, gradient_pair, jacobian_pair, pointwise_pairs


def design(rng, n, k, spread=0.6):
    return np.column_stack((np.ones(n), spread * rng.standard_normal((n, k - 1))))


def likelihood(name, model, x, hessian=True):
    """Hold a likelihood against its score, and the score against a Hessian the library derived."""
    yield gradient_pair("statsmodels", f"{name}.score", model.loglike, model.score, x)
    if hessian:
        yield jacobian_pair("statsmodels", f"{name}.hessian", model.score, model.hessian, x)


def statsmodels_binary() -> Iterator[Pair]:
    import statsmodels.api as sm

    rng = np.random.default_rng(101)
    exog = design(rng, 30, 4)
    beta = np.array([0.2, 0.7, -0.5, 0.4])
    y = (rng.random(30) < 1 / (1 + np.exp(-exog @ beta))).astype(float)
    offset = 0.3 * rng.standard_normal(30)
    for name, cls in (("Logit", sm.Logit), ("Probit", sm.Probit)):
        model = cls(y, exog)
        yield from likelihood(name, model, beta)
        yield jacobian_pair("statsmodels", f"{name}.score_obs", model.loglikeobs, model.score_obs, beta + 0.1)
        yield from likelihood(f"{name} with offset", cls(y, exog, offset=offset), beta)
        yield from likelihood(f"{name} at the fit", model, model.fit(disp=0).params)
        yield from likelihood(f"{name} far from the data", model, 6 * beta)
        yield jacobian_pair(
            "statsmodels", f"{name}._deriv_mean_dparams", model.predict, model._deriv_mean_dparams, beta
        )
        yield gradient_pair(
            "statsmodels",
            f"{name}._derivative_exog dydx",
            lambda r, m=model: m.predict(beta, r[None])[0],
            lambda r, m=model: m._derivative_exog(beta, r[None])[0],
            exog[0],
        )
        yield gradient_pair(
            "statsmodels",
            f"{name}._derivative_exog eydx",
            lambda r, m=model: np.log(m.predict(beta, r[None])[0]),
            lambda r, m=model: m._derivative_exog(beta, r[None], transform="eydx")[0],
            exog[1],
        )
        yield jacobian_pair(
            "statsmodels",
            f"{name}._derivative_predict",
            lambda b, m=model: m.predict(b, exog),
            lambda b, m=model: m._derivative_predict(b, exog),
            beta,
        )
        yield jacobian_pair(
            "statsmodels", f"{name}.cdf/pdf", model.cdf, diagonal(model.pdf), [-2.0, -0.4, 0.3, 1.7]
        )


def statsmodels_multinomial() -> Iterator[Pair]:
    import statsmodels.api as sm

    rng = np.random.default_rng(102)
    exog = design(rng, 40, 3)
    y = rng.integers(0, 4, 40)
    model = sm.MNLogit(y, exog)
    x = 0.5 * rng.standard_normal(9)
    yield from likelihood("MNLogit", model, x)
    yield jacobian_pair(
        "statsmodels", "MNLogit.score_obs", lambda p: model.loglikeobs(p).sum(axis=1), model.score_obs, x
    )
    yield gradient_pair(
        "statsmodels",
        "MNLogit.loglike_and_score",
        lambda p: model.loglike_and_score(p)[0],
        lambda p: model.loglike_and_score(p)[1],
        x,
    )
    fitted = model.fit(disp=0).params.ravel(order="F")
    yield from likelihood("MNLogit at the fit", model, fitted)
    square = x.reshape(3, 3, order="F")
    # Four categories and three regressors: _derivative_predict repeats its blocks J times for K columns, so
    # it only fits together where K = J.
    four = sm.MNLogit(y, np.column_stack((exog, rng.standard_normal(40))))
    x12 = 0.5 * rng.standard_normal(12)
    yield jacobian_pair(
        "statsmodels",
        "MNLogit._derivative_exog",
        lambda r: model.predict(square, r[None])[0],
        lambda r: model._derivative_exog(square, r[None])[0].reshape(3, 4, order="F").T,
        exog[2],
    )
    yield jacobian_pair(
        "statsmodels",
        "MNLogit._derivative_predict",
        lambda p: four.predict(p.reshape(4, 3, order="F"), four.exog[:1])[0],
        lambda p: four._derivative_predict(p.reshape(4, 3, order="F"), four.exog[:1])[0],
        x12,
    )


def statsmodels_counts() -> Iterator[Pair]:
    import statsmodels.api as sm

    rng = np.random.default_rng(103)
    n = 30
    exog = design(rng, n, 3, 0.4)
    beta = np.array([0.6, 0.5, -0.4])
    y = rng.negative_binomial(2, 2 / (2 + np.exp(exog @ beta)))
    offset = 0.3 * rng.standard_normal(n)
    exposure = rng.uniform(0.5, 2.0, n)
    poisson = sm.Poisson(y, exog)
    yield from likelihood("Poisson", poisson, beta)
    yield jacobian_pair("statsmodels", "Poisson.score_obs", poisson.loglikeobs, poisson.score_obs, beta)
    yield from likelihood(
        "Poisson with offset and exposure", sm.Poisson(y, exog, offset=offset, exposure=exposure), beta
    )
    yield from likelihood("Poisson at the fit", poisson, poisson.fit(disp=0).params)
    yield jacobian_pair(
        "statsmodels", "Poisson._deriv_mean_dparams", poisson.predict, poisson._deriv_mean_dparams, beta
    )
    yield gradient_pair(
        "statsmodels",
        "Poisson._derivative_exog dydx",
        lambda r: poisson.predict(beta, r[None])[0],
        lambda r: poisson._derivative_exog(beta, r[None])[0],
        exog[3],
    )
    yield gradient_pair(
        "statsmodels",
        "Poisson._derivative_exog eydx",
        lambda r: np.log(poisson.predict(beta, r[None])[0]),
        lambda r: poisson._derivative_exog(beta, r[None], transform="eydx")[0],
        exog[3],
    )
    yield jacobian_pair(
        "statsmodels",
        "Poisson._derivative_predict",
        lambda b: poisson.predict(b, exog),
        lambda b: poisson._derivative_predict(b, exog),
        beta,
    )
    with_alpha = np.append(beta, 0.35)
    for p in (1, 2):
        model = sm.GeneralizedPoisson(y, exog, p=p)
        yield from likelihood(f"GeneralizedPoisson p={p}", model, with_alpha)
        yield jacobian_pair(
            "statsmodels",
            f"GeneralizedPoisson p={p}.score_obs",
            model.loglikeobs,
            model.score_obs,
            with_alpha,
        )
        # The parametrisation in ln(alpha), of fit(use_transparams=True): the library squares the last entry
        # of the score where the chain rule multiplies it with alpha.
        model = sm.GeneralizedPoisson(y, exog, p=p)
        model._transparams = True
        yield from likelihood(
            f"GeneralizedPoisson p={p} in ln(alpha)",
            model,
            np.append(beta, np.log(0.35)),
            hessian=False,
        )
    for p in (1, 1.5, 2):
        model = sm.NegativeBinomialP(y, exog, p=p)
        # For p other than 1 and 2 the cross term of the Hessian has p * a1 where a1 belongs: right only where
        # p = 2 - p_model is 0 or 1.
        yield from likelihood(f"NegativeBinomialP p={p}", model, with_alpha)
        yield jacobian_pair(
            "statsmodels", f"NegativeBinomialP p={p}.score_obs", model.loglikeobs, model.score_obs, with_alpha
        )
        model = sm.NegativeBinomialP(y, exog, p=p)
        model._transparams = True
        yield from likelihood(
            f"NegativeBinomialP p={p} in ln(alpha)",
            model,
            np.append(beta, np.log(0.35)),
            hessian=False,
        )
    model = sm.NegativeBinomialP(y, exog, p=2, offset=offset)
    yield from likelihood("NegativeBinomialP p=2 with offset", model, with_alpha)
    for method in ("nb1", "nb2"):
        model = sm.NegativeBinomial(y, exog, loglike_method=method)
        model._transparams = False
        yield from likelihood(f"NegativeBinomial {method}", model, with_alpha)
        model = sm.NegativeBinomial(y, exog, loglike_method=method)
        yield from likelihood(
            f"NegativeBinomial {method} in ln(alpha)", model, np.append(beta, np.log(0.35)), hessian=False
        )
        model = sm.NegativeBinomial(y, exog, loglike_method=method, offset=offset)
        model._transparams = False
        yield from likelihood(f"NegativeBinomial {method} with offset", model, with_alpha)
    yield from likelihood(
        "NegativeBinomial geometric", sm.NegativeBinomial(y, exog, loglike_method="geometric"), beta
    )
    model = sm.NegativeBinomial(y, exog)
    fitted = model.fit(disp=0).params
    model._transparams = False
    yield from likelihood("NegativeBinomial nb2 at the fit", model, fitted)

    def score_from_factor(model):
        def score(p):
            first, second = model.score_factor(p)
            return np.append(first @ exog, np.sum(second))

        return score

    for name, model in (
        ("GeneralizedPoisson p=2", sm.GeneralizedPoisson(y, exog, p=2)),
        ("NegativeBinomialP p=2", sm.NegativeBinomialP(y, exog, p=2)),
        ("NegativeBinomialP p=1.5", sm.NegativeBinomialP(y, exog, p=1.5)),
    ):
        yield gradient_pair(
            "statsmodels", f"{name}.score_factor", model.loglike, score_from_factor(model), with_alpha
        )

        def hessian_from_factor(p, model=model):
            bb, ba, aa = model.hessian_factor(p)
            cross = exog.T @ ba
            return np.block(
                [[(exog.T * bb) @ exog, cross[:, None]], [cross[None, :], np.array([[aa.sum()]])]]
            )

        yield jacobian_pair(
            "statsmodels",
            f"{name}.hessian_factor",
            model.score,
            hessian_from_factor,
            with_alpha,
        )


def statsmodels_inflated() -> Iterator[Pair]:
    import statsmodels.api as sm
    from statsmodels.discrete import truncated_model

    rng = np.random.default_rng(104)
    n = 40
    exog = design(rng, n, 3, 0.4)
    inflation = design(rng, n, 2, 0.5)
    beta = np.array([0.8, 0.5, -0.4])
    y = rng.negative_binomial(3, 3 / (3 + np.exp(exog @ beta))) * (rng.random(n) > 0.25)
    start = np.concatenate(([-0.9, 0.3], beta))
    zip_model = sm.ZeroInflatedPoisson(y, exog, exog_infl=inflation)
    # hessian() fills the upper triangle from the lower one, and with it zeroes the block between inflation
    # and mean.
    yield from likelihood("ZeroInflatedPoisson", zip_model, start)
    yield jacobian_pair(
        "statsmodels", "ZeroInflatedPoisson.score_obs", zip_model.loglikeobs, zip_model.score_obs, start
    )
    offset = 0.2 * rng.standard_normal(n)
    yield from likelihood(
        "ZeroInflatedPoisson with offset",
        sm.ZeroInflatedPoisson(y, exog, exog_infl=inflation, offset=offset),
        start,
    )
    yield jacobian_pair(
        "statsmodels",
        "ZeroInflatedPoisson._deriv_mean_dparams",
        zip_model.predict,
        zip_model._deriv_mean_dparams,
        start,
    )
    for p in (1, 2):
        yield from likelihood(
            f"ZeroInflatedGeneralizedPoisson p={p}",
            sm.ZeroInflatedGeneralizedPoisson(y, exog, exog_infl=inflation, p=p),
            np.append(start, 0.2),
            hessian=False,
        )
        yield from likelihood(
            f"ZeroInflatedNegativeBinomialP p={p}",
            sm.ZeroInflatedNegativeBinomialP(y, exog, exog_infl=inflation, p=p),
            np.append(start, 0.4),
            hessian=False,
        )
    for truncation in (0, 1):
        keep = y > truncation
        model = truncated_model.TruncatedLFPoisson(y[keep], exog[keep], truncation=truncation)
        yield from likelihood(f"TruncatedLFPoisson truncation={truncation}", model, beta, hessian=False)
        # score_obs rebuilds the model of the truncated part without p, that is with the class's default: 2
        # for NegativeBinomialP and 1 for GeneralizedPoisson.
        for name, cls, alpha in (
            ("TruncatedLFNegativeBinomialP", truncated_model.TruncatedLFNegativeBinomialP, 0.4),
            ("TruncatedLFGeneralizedPoisson", truncated_model.TruncatedLFGeneralizedPoisson, 0.2),
        ):
            for p in (1, 2):
                model = cls(y[keep], exog[keep], truncation=truncation, p=p)
                yield from likelihood(
                    f"{name} p={p} truncation={truncation}",
                    model,
                    np.append(beta, alpha),
                    hessian=False,
                )
    keep = y > 0
    yield from likelihood(
        "TruncatedLFPoisson with offset",
        truncated_model.TruncatedLFPoisson(y[keep], exog[keep], offset=offset[keep]),
        beta,
        hessian=False,
    )
    for name, cls, extra in (
        ("_RCensoredPoisson", truncated_model._RCensoredPoisson, []),
        ("_RCensoredGeneralizedPoisson", truncated_model._RCensoredGeneralizedPoisson, [0.2]),
        ("_RCensoredNegativeBinomialP", truncated_model._RCensoredNegativeBinomialP, [0.4]),
    ):
        yield from likelihood(name, cls(y, exog), np.concatenate((beta, extra)), hessian=False)
    hurdle = truncated_model.HurdleCountModel(y, exog)
    yield from likelihood("HurdleCountModel", hurdle, np.concatenate((beta, 0.8 * beta)), hessian=False)


def statsmodels_conditional() -> Iterator[Pair]:
    from statsmodels.discrete import conditional_models as cm

    rng = np.random.default_rng(105)
    n = 24
    groups = np.repeat(np.arange(6), 4)
    exog = rng.standard_normal((n, 3))
    binary = np.tile([0.0, 1.0, 1.0, 0.0], 6)
    counts = rng.poisson(2.0, n).astype(float)
    offset = 0.3 * rng.standard_normal(n)
    x = np.array([0.4, -0.7, 0.2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, cls, y in (
            ("ConditionalLogit", cm.ConditionalLogit, binary),
            ("ConditionalPoisson", cm.ConditionalPoisson, counts),
        ):
            yield from likelihood(name, cls(y, exog, groups=groups), x, hessian=False)
            yield from likelihood(
                f"{name} with offset", cls(y, exog, groups=groups, offset=offset), x, hessian=False
            )
        y = rng.permuted(np.tile([0, 1, 2, 1], (6, 1)), axis=1).ravel()
        yield from likelihood(
            "ConditionalMNLogit",
            cm.ConditionalMNLogit(y, exog, groups=groups),
            0.4 * rng.standard_normal(6),
            hessian=False,
        )


def statsmodels_links() -> Iterator[Pair]:
    from statsmodels.genmod.families import links

    unit = np.array([0.08, 0.3, 0.55, 0.8, 0.93])
    positive = np.array([0.15, 0.6, 1.4, 3.2, 7.5])
    real = np.array([-1.6, -0.5, 0.3, 0.9, 1.8])
    table = (
        ("Logit", links.Logit(), unit, real),
        ("Probit", links.Probit(), unit, real),
        ("Cauchy", links.Cauchy(), unit, real),
        ("CLogLog", links.CLogLog(), unit, real),
        ("LogLog", links.LogLog(), unit, real),
        ("Log", links.Log(), positive, real),
        ("LogC", links.LogC(), unit, -positive / 3),
        ("Identity", links.Identity(), positive, real),
        ("InversePower", links.InversePower(), positive, positive),
        ("Sqrt", links.Sqrt(), positive, positive),
        ("InverseSquared", links.InverseSquared(), positive, positive),
        ("Power(3)", links.Power(3.0), positive, positive),
        ("Power(-1.5)", links.Power(-1.5), positive, positive),
        ("NegativeBinomial", links.NegativeBinomial(0.7), positive, -positive / 3),
    )
    for name, link, mean, linear in table:
        yield from pointwise_pairs(
            "statsmodels",
            (
                (f"links.{name}.deriv", link, link.deriv, mean),
                (f"links.{name}.deriv2", link.deriv, link.deriv2, mean),
                (f"links.{name}.inverse_deriv", link.inverse, link.inverse_deriv, linear),
                (f"links.{name}.inverse_deriv2", link.inverse_deriv, link.inverse_deriv2, linear),
            ),
        )


def statsmodels_families() -> Iterator[Pair]:
    from statsmodels.genmod import families
    from statsmodels.genmod.families import varfuncs

    mean = np.array([0.15, 0.6, 1.4, 3.2])
    unit = np.array([0.1, 0.35, 0.6, 0.9])
    yield from pointwise_pairs(
        "statsmodels",
        (
            ("varfuncs.Power(1).deriv", varfuncs.mu, varfuncs.mu.deriv, mean),
            ("varfuncs.Power(2).deriv", varfuncs.mu_squared, varfuncs.mu_squared.deriv, mean),
            ("varfuncs.Power(3).deriv", varfuncs.mu_cubed, varfuncs.mu_cubed.deriv, mean),
            ("varfuncs.Power(1.5).deriv", varfuncs.Power(1.5), varfuncs.Power(1.5).deriv, mean),
            ("varfuncs.Binomial(1).deriv", varfuncs.Binomial(1), varfuncs.Binomial(1).deriv, unit),
            ("varfuncs.Binomial(5).deriv", varfuncs.Binomial(5), varfuncs.Binomial(5).deriv, 5 * unit),
            (
                "varfuncs.NegativeBinomial(0.7).deriv",
                varfuncs.NegativeBinomial(0.7),
                varfuncs.NegativeBinomial(0.7).deriv,
                mean,
            ),
        ),
    )
    y = np.array([1.0, 0.0, 2.0, 4.0])
    weights = np.array([1.0, 0.5, 2.0, 1.5])
    for family, endog, where in (
        (families.Poisson(), y, mean),
        (families.Gaussian(), y, mean),
        (families.Gamma(), y + 0.3, mean),
        (families.Binomial(), np.array([1.0, 0.0, 0.0, 1.0]), unit),
        (families.InverseGaussian(), y + 0.3, mean),
        (families.NegativeBinomial(alpha=0.7), y, mean),
        (families.Tweedie(var_power=1.5), y, mean),
    ):
        name = type(family).__name__
        yield gradient_pair(
            "statsmodels",
            f"{name}.deviance in mu",
            lambda m, f=family, e=endog: f.deviance(e, m, weights, scale=1.3),
            lambda m, f=family, e=endog: -2 * weights * (e - m) / f.variance(m) / 1.3,
            where,
        )
        yield gradient_pair(
            "statsmodels",
            f"{name} resid_dev in mu",
            lambda m, f=family, e=endog: np.sum(f._resid_dev(e, m)),
            lambda m, f=family, e=endog: -2 * (e - m) / f.variance(m),
            where,
        )


def statsmodels_glm() -> Iterator[Pair]:
    import statsmodels.api as sm
    from statsmodels.genmod.families import links

    fam = sm.families
    table = (
        (
            "Poisson",
            lambda link: fam.Poisson(link),
            {"Log": (-0.5, 1.5), "Identity": (0.5, 3.0), "Sqrt": (0.6, 2.0)},
        ),
        (
            "Gaussian",
            lambda link: fam.Gaussian(link),
            {"Log": (-0.5, 1.0), "Identity": (-1.0, 2.0), "InversePower": (0.4, 2.0)},
        ),
        (
            "Gamma",
            lambda link: fam.Gamma(link),
            {"Log": (-0.5, 1.0), "Identity": (0.5, 3.0), "InversePower": (0.4, 2.0)},
        ),
        (
            "Binomial",
            lambda link: fam.Binomial(link),
            {
                "Logit": (-1.5, 1.5),
                "Probit": (-1.0, 1.0),
                "Cauchy": (-1.0, 1.0),
                "Log": (-1.5, -0.3),
                "LogC": (-1.5, -0.3),
                "CLogLog": (-1.5, 0.6),
                "LogLog": (-0.6, 1.5),
                "Identity": (0.2, 0.8),
            },
        ),
        (
            "InverseGaussian",
            lambda link: fam.InverseGaussian(link),
            {
                "InverseSquared": (0.4, 2.0),
                "InversePower": (0.4, 2.0),
                "Identity": (0.6, 2.5),
                "Log": (-0.5, 1.0),
            },
        ),
        (
            "NegativeBinomial",
            lambda link: fam.NegativeBinomial(link, alpha=0.6),
            {
                "Log": (-0.5, 1.5),
                "Identity": (0.5, 3.0),
                "CLogLog": (-1.5, 0.4),
                "NegativeBinomial": (-1.5, -0.3),
                "Sqrt": (0.6, 2.0),
            },
        ),
        (
            "Tweedie",
            lambda link: fam.Tweedie(link, var_power=1.5, eql=False),
            {"Log": (-0.5, 1.0), "Sqrt": (0.6, 1.8)},
        ),
    )
    n = 24
    for seed, (family_name, make, by_link) in enumerate(table):
        for link_name, (low, high) in by_link.items():
            rng = np.random.default_rng(200 + seed)
            exog = np.column_stack((np.ones(n), rng.uniform(-1, 1, (n, 3))))
            half = (high - low) / 2
            beta = np.array([low + half, 0.4 * half, -0.3 * half, 0.2 * half])
            link = (
                links.NegativeBinomial(0.6)
                if link_name == "NegativeBinomial"
                else getattr(links, link_name)()
            )
            family = make(link)
            mu = link.inverse(exog @ beta)
            if family_name in ("Poisson", "NegativeBinomial"):
                y = rng.poisson(mu)
            elif family_name == "Tweedie":
                y = rng.gamma(2.0, mu / 2) * (rng.random(n) > 0.2)
            elif family_name == "Binomial":
                y = (rng.random(n) < mu).astype(float)
            elif family_name == "Gaussian":
                y = mu + 0.4 * rng.standard_normal(n)
            else:
                y = rng.gamma(3.0, mu / 3)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = sm.GLM(y, exog, family=family)
            scale = 1.0 if family_name in ("Poisson", "Binomial", "NegativeBinomial") else 0.7
            name = f"GLM {family_name} {link_name}"
            yield gradient_pair(
                "statsmodels",
                f"{name}.score",
                lambda p, m=model, s=scale: m.loglike(p, scale=s),
                lambda p, m=model, s=scale: m.score(p, scale=s),
                beta,
            )
            yield jacobian_pair(
                "statsmodels",
                f"{name}.hessian",
                lambda p, m=model, s=scale: m.score(p, scale=s),
                lambda p, m=model, s=scale: m.hessian(p, scale=s, observed=True),
                beta,
            )


def statsmodels_glm_more() -> Iterator[Pair]:
    import statsmodels.api as sm

    fam = sm.families
    rng = np.random.default_rng(106)
    n = 30
    exog = design(rng, n, 3, 0.4)
    beta = np.array([0.4, 0.3, -0.4])
    counts = rng.poisson(np.exp(exog @ beta))
    freq, var = rng.integers(1, 4, n).astype(float), rng.uniform(0.5, 2.0, n)
    offset = 0.2 * rng.standard_normal(n)
    positive = rng.gamma(3.0, np.exp(exog @ beta) / 3)

    def fixed(model, scale):
        return (
            lambda p: model.loglike(p, scale=scale),
            lambda p: model.score(p, scale=scale),
            lambda p: model.hessian(p, scale=scale, observed=True),
        )

    successes = rng.binomial(6, 1 / (1 + np.exp(-exog @ beta)))
    models = (
        (
            "Poisson with offset and exposure",
            sm.GLM(counts, exog, family=fam.Poisson(), offset=offset, exposure=var),
            1.0,
        ),
        ("Poisson with freq_weights", sm.GLM(counts, exog, family=fam.Poisson(), freq_weights=freq), 1.0),
        (
            "Gamma with freq and var weights",
            sm.GLM(positive, exog, family=fam.Gamma(fam.links.Log()), freq_weights=freq, var_weights=var),
            0.6,
        ),
        ("Gaussian with var_weights", sm.GLM(positive, exog, family=fam.Gaussian(), var_weights=var), 0.6),
        (
            "Binomial with trials",
            sm.GLM(np.column_stack((successes, 6 - successes)), exog, family=fam.Binomial()),
            1.0,
        ),
        (
            "Binomial with trials, Probit",
            sm.GLM(
                np.column_stack((successes, 6 - successes)), exog, family=fam.Binomial(fam.links.Probit())
            ),
            1.0,
        ),
        (
            "InverseGaussian with var_weights",
            sm.GLM(positive, exog, family=fam.InverseGaussian(fam.links.Log()), var_weights=var),
            0.6,
        ),
        (
            "NegativeBinomial with freq_weights",
            sm.GLM(counts, exog, family=fam.NegativeBinomial(alpha=0.5), freq_weights=freq),
            1.0,
        ),
    )
    for name, model, scale in models:
        loglike, score, hessian = fixed(model, scale)
        yield gradient_pair("statsmodels", f"GLM {name}.score", loglike, score, beta)
        yield jacobian_pair("statsmodels", f"GLM {name}.hessian", score, hessian, beta)
    gamma = sm.GLM(positive, exog, family=fam.Gamma(fam.links.Log()))
    loglike, score, hessian = fixed(gamma, 0.6)
    fitted = gamma.fit().params
    yield gradient_pair("statsmodels", "GLM Gamma Log at the fit.score", loglike, score, fitted)
    yield jacobian_pair(
        "statsmodels", "GLM Gamma Log._deriv_mean_dparams", gamma.predict, gamma._deriv_mean_dparams, beta
    )
    yield gradient_pair(
        "statsmodels",
        "GLM Gamma Log._derivative_exog",
        lambda r: gamma.predict(beta, r[None])[0],
        lambda r: gamma._derivative_exog(beta, r[None])[0],
        exog[4],
    )
    # Without a scale both re-estimate it at every point, and the score leaves that dependence out.
    yield gradient_pair(
        "statsmodels",
        "GLM Gamma Log.score, scale estimated at each point",
        gamma.loglike,
        gamma.score,
        beta,
    )
    inverse_gaussian = sm.GLM(positive, exog, family=fam.InverseGaussian(fam.links.Log()))
    yield gradient_pair(
        "statsmodels",
        "GLM InverseGaussian Log.score, scale estimated at each point",
        inverse_gaussian.loglike,
        inverse_gaussian.score,
        beta,
    )
    gaussian = sm.GLM(positive, exog, family=fam.Gaussian())
    yield gradient_pair(
        "statsmodels",
        "GLM Gaussian.score, scale estimated at each point",
        gaussian.loglike,
        gaussian.score,
        beta,
    )
    poisson = sm.GLM(counts, exog, family=fam.Poisson())
    # The expected information stands where the observed one differs from it only for other links.
    yield jacobian_pair(
        "statsmodels",
        "GLM Poisson Log.hessian, expected",
        poisson.score,
        lambda p: poisson.hessian(p, observed=False),
        beta,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sqrt = sm.GLM(counts, exog, family=fam.Poisson(fam.links.Sqrt()))
    # Off the canonical link the expected Hessian is not the derivative of the score.
    yield jacobian_pair(
        "statsmodels",
        "GLM Poisson Sqrt.hessian, expected",
        sqrt.score,
        lambda p: sqrt.hessian(p, observed=False),
        [1.3, 0.2, -0.1],
    )


def statsmodels_gee() -> Iterator[Pair]:
    import statsmodels.api as sm

    rng = np.random.default_rng(107)
    n = 20
    exog = design(rng, n, 3)
    groups = np.repeat(np.arange(5), 4)
    beta = np.array([0.3, 0.5, -0.4])
    counts = rng.poisson(np.exp(exog @ beta)).astype(float)
    model = sm.GEE(counts, exog, groups, family=sm.families.Poisson())
    yield jacobian_pair(
        "statsmodels",
        "GEE.mean_deriv",
        lambda b: model.family.link.inverse(exog @ b),
        lambda b: model.mean_deriv(exog, exog @ b),
        beta,
    )
    yield gradient_pair(
        "statsmodels",
        "GEE.mean_deriv_exog",
        lambda r: model.family.link.inverse(r @ beta),
        lambda r: model.mean_deriv_exog(r[None], beta)[0],
        exog[0],
    )
    nominal = sm.NominalGEE(np.tile([0, 1, 2, 1], 5), exog, groups)
    wide = nominal.exog

    def probabilities(b):
        odds = np.exp(wide @ b).reshape(-1, nominal.ncut)
        return (odds / (1 + odds.sum(1))[:, None]).ravel()

    # mean_deriv drops the cross terms between the categories of one observation (its ddenom should be summed
    # over the cuts), so the off-diagonal blocks are missing.
    yield jacobian_pair(
        "statsmodels",
        "NominalGEE.mean_deriv",
        probabilities,
        lambda b: nominal.mean_deriv(wide, wide @ b),
        0.3 * rng.standard_normal(wide.shape[1]),
    )


def statsmodels_qif() -> Iterator[Pair]:
    import statsmodels.api as sm
    from statsmodels.genmod import qif

    rng = np.random.default_rng(108)
    n = 60
    # No intercept: in groups of one size its moment conditions are collinear and the weight matrix singular.
    exog = design(rng, n, 4, 0.5)[:, 1:]
    groups = np.repeat(np.arange(20), 3)
    beta = np.array([0.3, 0.4, -0.4])
    mu = np.exp(exog @ beta)
    data = (
        ("Poisson", sm.families.Poisson(), rng.poisson(mu)),
        ("Gaussian", sm.families.Gaussian(), mu + rng.standard_normal(n)),
        ("Binomial", sm.families.Binomial(), (rng.random(n) < mu / (1 + mu)).astype(float)),
        ("Gamma Log", sm.families.Gamma(sm.families.links.Log()), rng.gamma(3.0, mu / 3)),
    )
    for name, family, y in data:
        for kind, structure in (
            ("independence", qif.QIFIndependence()),
            ("exchangeable", qif.QIFExchangeable()),
            ("autoregressive", qif.QIFAutoregressive()),
        ):
            model = qif.QIF(y, exog, groups, family=family, cov_struct=structure)
            yield gradient_pair(
                "statsmodels",
                f"QIF {name} {kind}",
                lambda b, m=model: m.objective(b)[0],
                lambda b, m=model: m.objective(b)[1],
                beta,
            )
            yield jacobian_pair(
                "statsmodels",
                f"QIF {name} {kind} gn_deriv",
                lambda b, m=model: m.objective(b)[3],
                lambda b, m=model: m.objective(b)[4],
                beta,
            )


def statsmodels_survival() -> Iterator[Pair]:
    import statsmodels.api as sm

    rng = np.random.default_rng(109)
    n = 28
    exog = rng.standard_normal((n, 3))
    time = rng.integers(1, 9, n).astype(float) + 1.0
    status = (rng.random(n) < 0.7).astype(int)
    entry = np.where(rng.random(n) < 0.5, 0.5, 0.0)
    strata = rng.integers(0, 2, n)
    offset = 0.3 * rng.standard_normal(n)
    x = np.array([0.4, -0.3, 0.2])
    for ties in ("breslow", "efron"):
        for name, extra in (
            ("", {}),
            (" with strata", {"strata": strata}),
            (" with entry", {"entry": entry}),
            (" with offset", {"offset": offset}),
        ):
            model = sm.PHReg(time, exog, status=status, ties=ties, **extra)
            yield from likelihood(f"PHReg {ties}{name}", model, x)
        model = sm.PHReg(time, exog, status=status, ties=ties)
        yield from likelihood(f"PHReg {ties} at the fit", model, model.fit(disp=0).params)


def statsmodels_ordinal_and_beta() -> Iterator[Pair]:
    from statsmodels.genmod.families import links
    from statsmodels.miscmodels.ordinal_model import OrderedModel
    from statsmodels.othermod.betareg import BetaModel

    rng = np.random.default_rng(110)
    n = 30
    exog = rng.standard_normal((n, 3))
    y = np.digitize(exog @ [0.5, -0.4, 0.3] + rng.logistic(size=n), [-1.0, 0.3, 1.2])
    thresholds = np.array([-1.0, 0.2, -0.3])
    for distr in ("logit", "probit"):
        model = OrderedModel(y, exog, distr=distr)
        # score_obs_ covers the coefficients only, as its docstring says; the thresholds stay fixed here.
        yield gradient_pair(
            "statsmodels",
            f"OrderedModel {distr}.score_obs_ in the coefficients",
            lambda b, m=model: m.loglike(np.concatenate((b, thresholds))),
            lambda b, m=model: m.score_obs_(np.concatenate((b, thresholds))).sum(0),
            [0.4, -0.2, 0.3],
        )
        yield jacobian_pair(
            "statsmodels",
            f"OrderedModel {distr}.cdf/pdf",
            model.cdf,
            diagonal(model.pdf),
            [-2.0, -0.4, 0.3, 1.7],
        )
    mean, precision = design(rng, n, 3), design(rng, n, 2)
    share = rng.beta(2.0, 3.0, n)
    x = np.array([-0.3, 0.2, 0.4, 1.2, 0.3])
    for name, link, link_precision in (
        ("Logit, Log", links.Logit(), links.Log()),
        ("Probit, Log", links.Probit(), links.Log()),
        ("CLogLog, Log", links.CLogLog(), links.Log()),
        ("Logit, Sqrt", links.Logit(), links.Sqrt()),
        ("Logit, Identity", links.Logit(), links.Identity()),
    ):
        model = BetaModel(share, mean, exog_precision=precision, link=link, link_precision=link_precision)
        point = x + np.array([0.0, 0.0, 0.0, 1.5, 0.0]) if "Log, " not in name and "Identity" in name else x
        yield gradient_pair("statsmodels", f"BetaModel {name}.score", model.loglike, model.score, point)
        yield jacobian_pair(
            "statsmodels",
            f"BetaModel {name}.hessian",
            model.score,
            lambda p, m=model: m.hessian(p, observed=True),
            point,
        )
    model = BetaModel(share, mean, exog_precision=precision)
    yield jacobian_pair("statsmodels", "BetaModel.score_obs", model.loglikeobs, model.score_obs, x)
    yield jacobian_pair(
        "statsmodels", "BetaModel._deriv_mean_dparams", model.predict, model._deriv_mean_dparams, x
    )


def statsmodels_linear() -> Iterator[Pair]:
    import statsmodels.api as sm

    rng = np.random.default_rng(111)
    n = 25
    exog = design(rng, n, 4)
    y = exog @ [1.0, 0.5, -0.3, 0.2] + rng.standard_normal(n)
    x = np.array([0.8, 0.4, -0.1, 0.1])
    ols = sm.OLS(y, exog)
    # The Hessian of the profile has X'X / ssr where the second derivative of log(ssr) has 2 X'X / ssr.
    yield from likelihood("OLS profile", ols, x)
    yield from likelihood("OLS profile at the fit", ols, ols.fit().params)
    yield gradient_pair(
        "statsmodels",
        "OLS fixed scale.score",
        lambda p: ols.loglike(p, scale=0.8),
        lambda p: ols.score(p, scale=0.8),
        x,
    )
    yield jacobian_pair(
        "statsmodels",
        "OLS fixed scale.hessian",
        lambda p: ols.score(p, scale=0.8),
        lambda p: ols.hessian(p, scale=0.8),
        x,
    )
    # A response near 1e5 whose residuals are near 1: the score's ssr is a difference of large squares.
    shifted = sm.OLS(y + 1e5, exog)
    yield from likelihood(
        "OLS profile, response near 1e5", shifted, x + np.array([1e5, 0, 0, 0]), hessian=False
    )

    from statsmodels.sandbox.regression.gmm import LinearIVGMM

    z = np.column_stack((exog, rng.standard_normal((n, 2))))
    gmm = LinearIVGMM(y, exog, z)
    weights = np.linalg.inv(z.T @ z / n)
    # score() calls get_errors, which no class of the module has; get_error is what it means.
    gmm.get_errors = gmm.get_error
    yield gradient_pair(
        "statsmodels",
        "LinearIVGMM.score",
        lambda p: gmm.gmmobjective(p, weights),
        lambda p: gmm.score(p, weights),
        x,
    )
    yield jacobian_pair(
        "statsmodels",
        "LinearIVGMM.gradient_momcond",
        lambda p: gmm.momcond(p).mean(0),
        lambda p: gmm.gradient_momcond(p),
        x,
    )

    from statsmodels.base import l1_slsqp

    logit = sm.Logit((y > 1).astype(float), exog)
    alpha = np.array([0.0, 0.3, 0.3, 0.5])
    full = np.concatenate((x, np.abs(x) + 0.1))
    yield gradient_pair(
        "statsmodels",
        "l1_slsqp._fprime",
        lambda p: l1_slsqp._objective_func(lambda b: -logit.loglike(b), p, 4, alpha),
        lambda p: l1_slsqp._fprime(lambda b: -logit.score(b), p, 4, alpha),
        full,
    )
    yield jacobian_pair(
        "statsmodels",
        "l1_slsqp._fprime_ieqcons",
        lambda p: l1_slsqp._f_ieqcons(p, 4),
        lambda p: l1_slsqp._fprime_ieqcons(p, 4),
        full,
    )


def statsmodels_mixed() -> Iterator[Pair]:
    import statsmodels.api as sm
    from scipy import sparse
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM, PoissonBayesMixedGLM
    from statsmodels.regression.mixed_linear_model import MixedLMParams

    rng = np.random.default_rng(112)
    n, g = 48, 8
    groups = np.repeat(np.arange(g), n // g)
    exog = design(rng, n, 3)
    exog_re = design(rng, n, 2)
    y = exog @ [1.0, 0.5, -0.3] + np.sum(exog_re * rng.standard_normal((g, 2))[groups], axis=1)
    y += rng.standard_normal(n)
    for reml in (True, False):
        for use_sqrt in (True, False):
            model = sm.MixedLM(y, exog, groups, exog_re=exog_re, use_sqrt=use_sqrt)
            model.reml, model.cov_pen, model.fe_pen, model._freepat = reml, None, None, None
            label = f"MixedLM {'REML' if reml else 'ML'} {'Cholesky' if use_sqrt else 'covariance'}"
            x = np.array([1.1, 0.3, 0.8])
            yield gradient_pair("statsmodels", f"{label} profile.score", model.loglike, model.score, x)
        model = sm.MixedLM(y, exog, groups, exog_re=exog_re, use_sqrt=False)
        model.reml, model.cov_pen, model.fe_pen, model._freepat = reml, None, None, None

        def unpack(p, model=model):
            return MixedLMParams.from_packed(p, 3, 2, use_sqrt=False, has_fe=True)

        full = np.array([0.8, 0.4, -0.2, 1.1, 0.3, 0.8])
        label = f"MixedLM {'REML' if reml else 'ML'} full"
        yield gradient_pair(
            "statsmodels",
            f"{label}.score",
            lambda p, m=model, u=unpack: m.loglike(u(p), profile_fe=False),
            lambda p, m=model, u=unpack: m.score(u(p), profile_fe=False),
            full,
        )
        # The scale is profiled out, but the Hessian leaves out the terms in X'V^-1 r: right only where the
        # fixed effects are the GLS estimates.
        for where in ("off", "at"):
            if where == "at":
                start = unpack(full)
                gls = model.get_fe_params(start.cov_re, start.vcomp)[0]
                full = np.concatenate((gls, full[3:]))
            yield jacobian_pair(
                "statsmodels",
                f"{label}.hessian {where} the GLS effects",
                lambda p, m=model, u=unpack: m.score(u(p), profile_fe=False),
                lambda p, m=model, u=unpack: m.hessian(u(p))[0],
                full,
            )

    vc = sparse.csr_matrix((np.ones(n), (np.arange(n), groups)), shape=(n, g))
    ident = np.repeat([0, 1], g // 2)
    eta = exog @ [0.3, 0.5, -0.3]
    size = 3 + 2 + g
    for name, cls, response in (
        (
            "BinomialBayesMixedGLM",
            BinomialBayesMixedGLM,
            (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float),
        ),
        ("PoissonBayesMixedGLM", PoissonBayesMixedGLM, rng.poisson(np.exp(eta)).astype(float)),
    ):
        model = cls(response, exog, vc, ident, vcp_p=0.8, fe_p=1.5)
        yield gradient_pair(
            "statsmodels",
            f"{name}.logposterior_grad",
            model.logposterior,
            model.logposterior_grad,
            0.4 * rng.standard_normal(size),
        )

        def elbo_grad(p, model=model):
            mean_grad, sd_grad = model.vb_elbo_grad(p[:size], np.exp(p[size:]))
            return np.concatenate((mean_grad, sd_grad * np.exp(p[size:])))

        yield gradient_pair(
            "statsmodels",
            f"{name}.vb_elbo_grad",
            lambda p, m=model: m.vb_elbo(p[:size], np.exp(p[size:])),
            elbo_grad,
            np.concatenate((0.4 * rng.standard_normal(size), -0.7 + 0.1 * rng.standard_normal(size))),
        )


def statsmodels_gaussian_process() -> Iterator[Pair]:
    from statsmodels.regression.process_regression import GaussianCovariance, ProcessMLE

    rng = np.random.default_rng(113)
    time = np.sort(rng.uniform(0, 3, 4))
    covariance = GaussianCovariance()

    def stacked(p):
        scale_part, smooth_part = covariance.jac(time, p[:4], p[4:])
        return np.stack([m.ravel() for m in scale_part + smooth_part], axis=1)

    yield jacobian_pair(
        "statsmodels",
        "GaussianCovariance.jac",
        lambda p: covariance.get_cov(time, p[:4], p[4:]).ravel(),
        stacked,
        rng.uniform(0.5, 1.5, 8),
    )
    n = 20
    groups = np.repeat(np.arange(5), 4)
    exog, scale, smooth = design(rng, n, 3), design(rng, n, 2), design(rng, n, 2)
    noise = np.ones((n, 1))
    y, when = rng.standard_normal(n), rng.uniform(0, 3, n)
    model = ProcessMLE(y, exog, scale, smooth, None, when, groups)
    yield gradient_pair(
        "statsmodels",
        "ProcessMLE without noise.score",
        model.loglike,
        model.score,
        [0.2, 0.1, -0.3, 0.1, 0.2, -1.0, 0.1],
    )
    model = ProcessMLE(y, exog, scale, smooth, noise, when, groups)
    yield gradient_pair(
        "statsmodels",
        "ProcessMLE with noise.score",
        model.loglike,
        model.score,
        [0.2, 0.1, -0.3, 0.1, 0.2, -0.5, 0.1, -0.7],
    )


def statsmodels_multivariate() -> Iterator[Pair]:
    from statsmodels.multivariate.factor import Factor
    from statsmodels.multivariate.factor_rotation import _gpa_rotation as gpa
    from statsmodels.regression.dimred import CovarianceReduction, SlicedInverseReg

    rng = np.random.default_rng(114)
    data = rng.standard_normal((40, 2)) @ rng.standard_normal((2, 6)) + 0.7 * rng.standard_normal((40, 6))
    factor = Factor(endog=data, n_factor=2, method="ml")
    x = np.concatenate((rng.uniform(0.5, 0.9, 6), 0.5 * rng.standard_normal(12)))
    yield gradient_pair("statsmodels", "Factor.score", factor.loglike, factor.score, x)
    reduction = CovarianceReduction(np.repeat([0, 1, 2, 3], 10), data, 2)
    yield gradient_pair(
        "statsmodels",
        "CovarianceReduction.score",
        reduction.loglike,
        reduction.score,
        rng.standard_normal(12),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sliced = SlicedInverseReg(data[:, 0] + 0.3 * rng.standard_normal(40), data[:, 1:])
        sliced.fit_regularized(ndim=2, pen_mat=0.3 * np.eye(5), slice_n=8, maxiter=1)
    yield gradient_pair(
        "statsmodels",
        "SlicedInverseReg._regularized_grad",
        sliced._regularized_objective,
        sliced._regularized_grad,
        rng.standard_normal(10),
    )

    loadings = rng.standard_normal((6, 3))
    target, mask = rng.standard_normal((6, 3)), (rng.random((6, 3)) < 0.6).astype(float)
    criteria = {
        "oblimin gamma=0": lambda **k: gpa.oblimin_objective(gamma=0, **k),
        "oblimin gamma=0.5": lambda **k: gpa.oblimin_objective(gamma=0.5, **k),
        "orthomax gamma=1": lambda **k: gpa.orthomax_objective(gamma=1, **k),
        "CF kappa=0.3": lambda **k: gpa.CF_objective(kappa=0.3, **k),
        "CF kappa=1": lambda **k: gpa.CF_objective(kappa=1, **k),
        "target": lambda **k: gpa.vgQ_target(target, **k),
        "partial target": lambda **k: gpa.vgQ_partial_target(target, W=mask, **k),
    }
    for name, criterion in criteria.items():
        yield gradient_pair(
            "statsmodels",
            f"factor rotation {name}",
            lambda p, c=criterion: c(L=p.reshape(6, 3))[0],
            lambda p, c=criterion: c(L=p.reshape(6, 3))[1].ravel(),
            loadings.ravel(),
        )
        # The gradients in T are the two that GPA uses, for orthogonal and for oblique rotations.
        yield gradient_pair(
            "statsmodels",
            f"factor rotation {name}, orthogonal T",
            lambda p, c=criterion: c(L=loadings @ p.reshape(3, 3))[0],
            lambda p, c=criterion: (loadings.T @ c(L=loadings @ p.reshape(3, 3))[1]).ravel(),
            np.linalg.qr(rng.standard_normal((3, 3)))[0].ravel(),
        )

        def oblique(p, c=criterion):
            inverse = np.linalg.inv(p.reshape(3, 3))
            rotated = gpa.rotateA(loadings, p.reshape(3, 3), rotation_method="oblique")
            return -(rotated.T @ c(L=rotated)[1] @ inverse).T.ravel()

        yield gradient_pair(
            "statsmodels",
            f"factor rotation {name}, oblique T",
            lambda p, c=criterion: c(L=gpa.rotateA(loadings, p.reshape(3, 3), rotation_method="oblique"))[0],
            oblique,
            (np.eye(3) + 0.2 * rng.standard_normal((3, 3))).ravel(),
        )

    corr = np.corrcoef(data.T)
    np.fill_diagonal(corr, 0)

    # func and grad as corr_nearest_factor defines them inside itself.
    def nearest(p):
        m = p.reshape(6, 2) @ p.reshape(6, 2).T
        np.fill_diagonal(m, 0)
        m -= corr
        return (m * m).sum()

    def nearest_grad(p):
        v = p.reshape(6, 2)
        gr = v @ (v.T @ v) - corr @ v
        gr -= (v * v).sum(1)[:, None] * v
        return 4 * gr.ravel()

    yield gradient_pair(
        "statsmodels", "corr_nearest_factor", nearest, nearest_grad, 0.5 * rng.standard_normal(12)
    )


def statsmodels_norms() -> Iterator[Pair]:
    from statsmodels.robust import norms

    z = np.array([-9.3, -4.1, -2.7, -1.1, -0.4, 0.3, 0.9, 1.7, 3.1, 5.3])
    table = {
        "LeastSquares": norms.LeastSquares(),
        "HuberT": norms.HuberT(),
        "RamsayE": norms.RamsayE(),
        "AndrewWave": norms.AndrewWave(),
        "TrimmedMean": norms.TrimmedMean(),
        "Hampel": norms.Hampel(),
        "TukeyBiweight": norms.TukeyBiweight(),
        "TukeyQuartic": norms.TukeyQuartic(),
        "StudentT": norms.StudentT(),
        "MQuantileNorm": norms.MQuantileNorm(0.3, norms.HuberT()),
        "MQuantileNorm of LeastSquares": norms.MQuantileNorm(0.3, norms.LeastSquares()),
    }
    for name, norm in table.items():
        yield gradient_pair(
            "statsmodels", f"norms.{name}.psi", lambda p, m=norm: np.sum(m.rho(p)), norm.psi, z
        )
        yield jacobian_pair("statsmodels", f"norms.{name}.psi_deriv", norm.psi, diagonal(norm.psi_deriv), z)
    rng = np.random.default_rng(115)
    exog = design(rng, 25, 3)
    y = exog @ [1.0, 0.4, -0.2] + rng.standard_t(3, 25)
    for name in ("HuberT", "TukeyBiweight", "Hampel", "StudentT"):
        norm = table[name]
        yield gradient_pair(
            "statsmodels",
            f"M-estimation objective with {name}",
            lambda b, m=norm: np.sum(m.rho((y - exog @ b) / 0.9)),
            lambda b, m=norm: -exog.T @ m.psi((y - exog @ b) / 0.9) / 0.9,
            [0.7, 0.2, 0.1],
        )


def statsmodels_penalties() -> Iterator[Pair]:
    from statsmodels.base import _penalties as pen
    from statsmodels.base._penalized import PenalizedMixin
    from statsmodels.discrete.discrete_model import Logit, Poisson
    from statsmodels.gam.gam_penalties import MultivariateGamPenalty, UnivariateGamPenalty
    from statsmodels.gam.generalized_additive_model import GLMGam
    from statsmodels.gam.smooth_basis import (
        BSplines,
        UnivariateBSplines,
        _eval_bspline_basis,
        get_knots_bsplines,
    )
    from statsmodels.genmod import families

    rng = np.random.default_rng(116)
    x = np.array([-2.4, -0.7, -0.03, 0.02, 0.4, 0.97, 3.1])
    weights = np.array([1.0, 0.5, 2.0, 1.0, 0.0, 1.5, 0.7])
    singles = {
        "L2": pen.L2(),
        "L2 with weights": pen.L2(weights),
        "PseudoHuber": pen.PseudoHuber(0.6, weights),
        "SCAD": pen.SCAD(0.5),
        "SCAD with weights": pen.SCAD(0.5, weights=weights),
        "SCADSmoothed": pen.SCADSmoothed(0.5, c0=0.1),
        "SCADSmoothed with weights": pen.SCADSmoothed(0.5, c0=0.1, weights=weights),
    }
    for name, penalty in singles.items():
        yield gradient_pair("statsmodels", f"penalty {name}.deriv", penalty.func, penalty.deriv, x)
        yield jacobian_pair(
            "statsmodels", f"penalty {name}.deriv2", penalty.deriv, diagonal(penalty.deriv2), x
        )
    univariate = pen.L2Univariate(weights)
    yield jacobian_pair(
        "statsmodels", "penalty L2Univariate.deriv", univariate.func, diagonal(univariate.deriv), x
    )
    differences = np.diff(np.eye(7), axis=0)
    square = np.eye(7) - np.diag(np.ones(6), -1)
    restricted = {
        "SCADSmoothed, differences": pen.SCADSmoothed(0.5, c0=0.1, restriction=differences),
        "L2ConstraintsPenalty, differences": pen.L2ConstraintsPenalty(restriction=differences),
        "ConstraintsPenalty of L2Univariate, square": pen.ConstraintsPenalty(
            pen.L2Univariate(), restriction=square
        ),
    }
    for name, penalty in restricted.items():
        yield gradient_pair("statsmodels", f"penalty {name}.deriv", penalty.func, penalty.deriv, x)
        yield jacobian_pair("statsmodels", f"penalty {name}.deriv2", penalty.deriv, penalty.deriv2, x)
    # func weighs the transformed coordinates, deriv weighs after the chain rule: w * (psi R), not (w * psi)
    # R.
    for name, penalty in (
        (
            "ConstraintsPenalty, square, array weights",
            pen.ConstraintsPenalty(pen.L2Univariate(), weights=weights, restriction=square),
        ),
        (
            "SCADSmoothed, square, array weights",
            pen.SCADSmoothed(0.5, c0=0.1, weights=weights, restriction=square),
        ),
    ):
        yield gradient_pair("statsmodels", f"penalty {name}.deriv", penalty.func, penalty.deriv, x)
    psd = pen.PSD(0.7)
    lower = np.tril_indices(3)

    def symmetric(p):
        half = np.zeros((3, 3))
        half[lower] = p
        return half + half.T - np.diag(np.diag(half))

    yield gradient_pair(
        "statsmodels",
        "penalty PSD.deriv",
        lambda p: psd.func(symmetric(p), None),
        lambda p: psd.deriv(symmetric(p), np.linalg.inv(symmetric(p))),
        [2.0, 0.4, 1.5, -0.3, 0.2, 1.8],
    )

    class PoissonPenalized(PenalizedMixin, Poisson):
        pass

    class LogitPenalized(PenalizedMixin, Logit):
        pass

    exog = design(rng, 30, 5, 0.4)
    beta = np.array([0.4, 0.3, -0.02, 0.6, -0.4])
    counts = rng.poisson(np.exp(exog @ beta))
    binary = (rng.random(30) < 0.5).astype(float)
    for name, cls, y in (
        ("PoissonPenalized", PoissonPenalized, counts),
        ("LogitPenalized", LogitPenalized, binary),
    ):
        for kind, penalty in (
            ("SCADSmoothed", pen.SCADSmoothed(0.1, c0=0.05)),
            ("PseudoHuber", pen.PseudoHuber(0.3)),
            ("L2", pen.L2()),
        ):
            model = cls(y, exog, penal=penalty, pen_weight=4.0)
            yield from likelihood(f"{name} {kind}", model, beta)

    grid = np.sort(rng.uniform(0, 1, 20))
    smoother = UnivariateBSplines(grid, df=7)
    penalty = UnivariateGamPenalty(smoother, alpha=0.6)
    coefs = rng.standard_normal(smoother.dim_basis)
    yield gradient_pair("statsmodels", "UnivariateGamPenalty.deriv", penalty.func, penalty.deriv, coefs)
    yield jacobian_pair("statsmodels", "UnivariateGamPenalty.deriv2", penalty.deriv, penalty.deriv2, coefs)
    both = BSplines(rng.uniform(0, 1, (30, 2)), df=[5, 6], degree=[3, 3])
    joint = MultivariateGamPenalty(both, alpha=[0.5, 1.5], start_idx=1)
    coefs = rng.standard_normal(1 + both.dim_basis)
    yield gradient_pair("statsmodels", "MultivariateGamPenalty.deriv", joint.func, joint.deriv, coefs)
    yield jacobian_pair("statsmodels", "MultivariateGamPenalty.deriv2", joint.deriv, joint.deriv2, coefs)
    knots = get_knots_bsplines(grid, df=7)
    basis = {d: (lambda p, d=d: _eval_bspline_basis(p, knots, 3, deriv=d)) for d in (0, 1, 2)}
    where = grid[2:18:4] + 1e-3
    w = rng.standard_normal(basis[0](where).shape[1])
    yield jacobian_pair(
        "statsmodels",
        "gam B-spline basis der1",
        lambda p: basis[0](p) @ w,
        diagonal(lambda p: basis[1](p) @ w),
        where,
    )
    yield jacobian_pair(
        "statsmodels",
        "gam B-spline basis der2",
        lambda p: basis[1](p) @ w,
        diagonal(lambda p: basis[2](p) @ w),
        where,
    )
    gam = GLMGam(counts, exog=exog[:, :2], smoother=both, alpha=[0.5, 1.5], family=families.Poisson())
    point = 0.3 * rng.standard_normal(gam.exog.shape[1])
    yield gradient_pair(
        "statsmodels",
        "GLMGam Poisson.score",
        lambda p: gam.loglike(p, scale=1.0),
        lambda p: gam.score(p, scale=1.0),
        point,
    )
    yield jacobian_pair(
        "statsmodels",
        "GLMGam Poisson.hessian",
        lambda p: gam.score(p, scale=1.0),
        lambda p: gam.hessian(p, scale=1.0),
        point,
    )


def statsmodels_copulas() -> Iterator[Pair]:
    from statsmodels.distributions.copula import depfunc_ev, transforms

    t = np.array([0.08, 0.25, 0.5, 0.7, 0.92])
    phi = np.array([0.1, 0.4, 0.9, 1.7, 3.0])
    rows = []
    for name, tr, theta in (
        ("Frank", transforms.TransfFrank(), 2.3),
        ("Clayton", transforms.TransfClayton(), 1.4),
        ("Gumbel", transforms.TransfGumbel(), 3.0),
    ):
        rows += [
            (
                f"copula {name}.deriv",
                lambda p, tr=tr, th=theta: tr.evaluate(p, th),
                lambda p, tr=tr, th=theta: tr.deriv(p, th),
                t,
            ),
            (
                f"copula {name}.deriv2",
                lambda p, tr=tr, th=theta: tr.deriv(p, th),
                lambda p, tr=tr, th=theta: tr.deriv2(p, th),
                t,
            ),
            (
                f"copula {name}.inverse",
                lambda p, tr=tr, th=theta: tr.inverse(p, th),
                lambda p, tr=tr, th=theta: 1 / tr.deriv(tr.inverse(p, th), th),
                phi,
            ),
        ]
        for order in (2, 3):
            low = getattr(tr, f"deriv{order}_inverse", None)
            high = getattr(tr, f"deriv{order + 1}_inverse", None)
            if low is not None and high is not None:
                rows.append(
                    (
                        f"copula {name}.deriv{order + 1}_inverse",
                        lambda p, f=low, th=theta: f(p, th),
                        lambda p, f=high, th=theta: f(p, th),
                        phi,
                    )
                )
    clayton = transforms.TransfClayton()
    rows += [
        (
            "copula Clayton.deriv_inverse",
            lambda p: clayton.inverse(p, 1.4),
            lambda p: clayton.deriv_inverse(p, 1.4),
            phi,
        ),
        (
            "copula Clayton.deriv2_inverse",
            lambda p: clayton.deriv_inverse(p, 1.4),
            lambda p: clayton.deriv2_inverse(p, 1.4),
            phi,
        ),
        (
            "copula Clayton.derivk_inverse(5)",
            lambda p: clayton.derivk_inverse(4, p, 1.4),
            lambda p: clayton.derivk_inverse(5, p, 1.4),
            phi,
        ),
    ]
    for name, dep, args in (
        ("AsymLogistic", depfunc_ev.AsymLogistic(), (0.7, 0.9, 0.4)),
        ("AsymNegLogistic", depfunc_ev.AsymNegLogistic(), (0.7, 0.9, 0.6)),
        ("AsymMixed", depfunc_ev.AsymMixed(), (0.5, 0.2)),
        ("HR", depfunc_ev.HR(), (0.8,)),
    ):
        rows += [
            (
                f"copula depfunc {name}.deriv",
                lambda p, d=dep, a=args: d.evaluate(p, *a),
                lambda p, d=dep, a=args: d.deriv(p, *a),
                t,
            ),
            (
                f"copula depfunc {name}.deriv2",
                lambda p, d=dep, a=args: d.deriv(p, *a),
                lambda p, d=dep, a=args: d.deriv2(p, *a),
                t,
            ),
        ]
    yield from pointwise_pairs("statsmodels", rows)


def statsmodels_emplike_and_kernels() -> Iterator[Pair]:
    from statsmodels.emplike.descriptive import _OptFuncts
    from statsmodels.nonparametric.kernel_regression import KernelReg

    rng = np.random.default_rng(117)
    n = 20
    vector = rng.standard_normal((n, 3))
    funcs = _OptFuncts(None)
    eta = np.array([0.05, -0.1, 0.08])
    ones, shares = np.ones(n), np.full(n, 1 / n)
    # With weights 1/n, the ones that descriptive statistics pass, _log_star adds log(1/n) inside the
    # logarithm and forgets the factor 1/n; the docstring calls it a placeholder.
    yield gradient_pair(
        "statsmodels",
        "emplike _log_star/_grad, weights 1/n",
        lambda e: np.sum(funcs._log_star(e, vector, shares, n)),
        lambda e: funcs._grad(e, vector, shares, n),
        eta,
    )
    yield gradient_pair(
        "statsmodels",
        "emplike _log_star/_grad, unit weights",
        lambda e: np.sum(funcs._log_star(e, vector, ones, n)),
        lambda e: funcs._grad(e, vector, ones, n),
        eta,
    )
    for name, w in (("weights 1/n", shares), ("unit weights", ones)):
        yield jacobian_pair(
            "statsmodels",
            f"emplike _grad/_hess, {name}",
            lambda e, w=w: funcs._grad(e, vector, w, n),
            lambda e, w=w: funcs._hess(e, vector, w, n),
            eta,
        )
    data = rng.uniform(0, 3, (n, 2))
    y = np.sin(data[:, 0]) + data[:, 1] ** 2
    # The local-constant marginal effect multiplies the kernels' derivatives over all variables, carries a
    # factor 1/n too many and is one number for all variables.
    reg = KernelReg(y, data, "cc", reg_type="lc", bw=[0.6, 0.7])
    yield gradient_pair(
        "statsmodels",
        "KernelReg local constant marginal effects",
        lambda p: reg.fit(p[None])[0][0],
        lambda p: reg.fit(p[None])[1][0],
        [1.2, 1.7],
    )
    single = KernelReg(y, data[:, 0], "c", reg_type="lc", bw=[0.6])
    yield gradient_pair(
        "statsmodels",
        "KernelReg local constant marginal effect, one variable",
        lambda p: single.fit(p)[0].sum(),
        lambda p: single.fit(p)[1][:, 0],
        [0.4, 1.2, 2.1],
    )
    linear = KernelReg(y, data, "cc", reg_type="ll", bw=[0.6, 0.7])
    # The local-linear marginal effect is the fitted slope, an estimate of the derivative of the regression
    # function and not the derivative of the fitted curve.
    yield gradient_pair(
        "statsmodels",
        "KernelReg local linear marginal effects",
        lambda p: linear.fit(p[None])[0][0],
        lambda p: linear.fit(p[None])[1][0],
        [1.2, 1.7],
    )


BUILDERS = (
    statsmodels_binary,
    statsmodels_multinomial,
    statsmodels_counts,
    statsmodels_inflated,
    statsmodels_conditional,
    statsmodels_links,
    statsmodels_families,
    statsmodels_glm,
    statsmodels_glm_more,
    statsmodels_gee,
    statsmodels_qif,
    statsmodels_survival,
    statsmodels_ordinal_and_beta,
    statsmodels_linear,
    statsmodels_mixed,
    statsmodels_gaussian_process,
    statsmodels_multivariate,
    statsmodels_norms,
    statsmodels_penalties,
    statsmodels_copulas,
    statsmodels_emplike_and_kernels,
)
