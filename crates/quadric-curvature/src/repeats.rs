//! Whether a problem is a function: what iterates on products of one matrix must not be given many.

use quadric_core::{Error, ErrorKind, Result, Scalar, Smooth};

/// Refuses a problem whose value or gradient at a point is not, bit for bit, what it was before: one that draws random numbers, or
/// whose data change.
///
/// # Errors
/// [`ErrorKind::Data`] if they differ, and those of the evaluation.
pub fn check_repeats<T: Scalar>(
    problem: &dyn Smooth<T>,
    x: &[T],
    value: f64,
    gradient: &[T],
) -> Result<()> {
    let mut again = vec![T::of(0.0); gradient.len()];
    let found = problem.value_grad(x, &mut again)?;
    let bits = |v: f64| v.to_bits();
    let differ = |text: String| {
        let hint = "use fixed data and seeds, and evaluate layers such as dropout without chance";
        Err(Error::new(ErrorKind::Data, text).with_hint(hint))
    };
    if bits(found) != bits(value) {
        return differ(format!(
            "two evaluations at one point give the values {value:e} and {found:e}: they are not of one function"
        ));
    }
    let pairs = gradient.iter().zip(&again);
    let mut unlike = pairs.map(|(a, b)| bits(a.to_f64()) != bits(b.to_f64()));
    match unlike.position(|unlike| unlike) {
        None => Ok(()),
        Some(i) => differ(format!(
            "two evaluations at one point give gradients that differ at entry {i}: they are not of one function"
        )),
    }
}
