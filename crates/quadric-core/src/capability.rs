//! Capabilities as types: the trait object that a method names is the compile-time check, the run-time query, and the
//! meaning of "optimal".

use crate::{
    Certificate, Columns, Error, ErrorKind, FiniteSum, Objective, Problem, Result, Scalar,
    SelfConcordant, Smooth, Tolerance, TwiceSmooth, vector,
};

/// A trait object that a method can need.
pub trait Capability<'p, T: Scalar>: Problem<T> + 'p {
    /// The name of the trait.
    const NAME: &'static str;

    /// The problem under this capability, if it offers it.
    fn find(p: &'p (dyn Problem<T> + 'p)) -> Option<&'p Self>;

    /// The problem without the capability.
    fn root(&'p self) -> &'p (dyn Problem<T> + 'p);
}

macro_rules! capability {
    ($($name:ident $query:ident),*) => { $(
        impl<'p, T: Scalar> Capability<'p, T> for dyn $name<T> + 'p {
            const NAME: &'static str = stringify!($name);
            fn find(p: &'p (dyn Problem<T> + 'p)) -> Option<&'p Self> { p.$query() }
            fn root(&'p self) -> &'p (dyn Problem<T> + 'p) { self }
        }
    )* };
}
capability!(Objective as_objective, Smooth as_smooth, TwiceSmooth as_twice_smooth,
    SelfConcordant as_self_concordant, FiniteSum as_finite_sum, Columns as_columns);

/// The problem under the capability `C`, or an error that names what is missing and what is offered.
///
/// # Errors
/// The problem does not offer the capability.
pub fn need<'p, T: Scalar, C: ?Sized + Capability<'p, T>>(
    p: &'p (dyn Problem<T> + 'p),
) -> Result<&'p C> {
    C::find(p).ok_or_else(|| {
        let offered: Vec<&str> = [
            ("Objective", p.as_objective().is_some()),
            ("Smooth", p.as_smooth().is_some()),
            ("TwiceSmooth", p.as_twice_smooth().is_some()),
            ("SelfConcordant", p.as_self_concordant().is_some()),
            ("FiniteSum", p.as_finite_sum().is_some()),
            ("Columns", p.as_columns().is_some()),
        ]
        .into_iter()
        .filter_map(|(name, offers)| offers.then_some(name))
        .collect();
        Error::new(
            ErrorKind::Capability,
            format!(
                "the method needs {}, which the problem `{}` does not offer (it offers: {})",
                C::NAME,
                p.name(),
                offered.join(", ")
            ),
        )
    })
}

/// Measures a point afresh: the proven gap where the problem has one, as sharp as the tolerance needs, else the largest
/// gradient entry (`norm`, if it is known already) relative to `start`, the same measure at the start of the run. `None` for
/// problems without either.
pub(crate) fn certify<T: Scalar>(
    p: &dyn Problem<T>,
    x: &[T],
    tolerance: Tolerance,
    start: Option<f64>,
    norm: Option<f64>,
) -> Result<Option<Certificate>> {
    if let Some(gap) = p.gap_within(x, tolerance)? {
        return Ok(Some(gap.certificate()));
    }
    let norm = match norm {
        Some(norm) => Some(norm),
        None => measure(p, x)?.1,
    };
    Ok(norm.map(|value| Certificate {
        kind: "gradient_norm",
        value,
        scale: start.unwrap_or(value),
    }))
}

/// `F(x)` and the largest absolute entry of the gradient, as far as the problem offers them.
pub(crate) fn measure<T: Scalar>(
    p: &dyn Problem<T>,
    x: &[T],
) -> Result<(Option<f64>, Option<f64>)> {
    if let Some(smooth) = p.as_smooth() {
        let mut g = vec![T::of(0.0); x.len()];
        let value = smooth.value_grad(x, &mut g)?;
        return Ok((Some(value), Some(vector::max_abs(&g))));
    }
    let objective = p.as_objective();
    Ok((objective.map(|o| o.value(x)).transpose()?, None))
}
