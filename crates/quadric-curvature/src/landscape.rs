//! The loss along directions: lines and planes through a point.

use quadric_core::random::SeedTree;
use quadric_core::{Error, Layout, Objective, Result, Scalar, vector};

/// The loss along a line `x + t d`.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// The steps t.
    pub steps: Vec<f64>,
    /// The loss at each; not finite where it is outside the domain.
    pub values: Vec<f64>,
}

/// The loss on a plane `x + s a + t b`.
#[derive(Clone, PartialEq, Debug)]
pub struct Plane {
    /// The steps s.
    pub first: Vec<f64>,
    /// The steps t.
    pub second: Vec<f64>,
    /// The loss: a row for each t, with an entry for each s.
    pub values: Vec<Vec<f64>>,
}

/// `points` steps from -radius to radius; 0 is among an odd number of them.
///
/// # Errors
/// A radius that is not positive, fewer than two points.
pub fn steps(radius: f64, points: usize) -> Result<Vec<f64>> {
    if radius.is_nan() || radius <= 0.0 || radius.is_infinite() {
        return Err(Error::argument("radius", radius, "a positive number"));
    }
    if points < 2 {
        return Err(Error::argument("points", points, "at least 2"));
    }
    let half = (points - 1) as f64 / 2.0;
    Ok((0..points)
        .map(|i| (i as f64 - half) / half * radius)
        .collect())
}

/// The loss along a direction of any length.
///
/// # Errors
/// A direction of another length than the point, and those of an evaluation.
pub fn line<T: Scalar>(
    problem: &dyn Objective<T>,
    x: &[T],
    direction: &[T],
    steps: &[f64],
) -> Result<Line> {
    check("the direction", direction, x)?;
    let mut at = x.to_vec();
    let values = steps.iter().map(|&t| {
        moved(x, &[(t, direction)], &mut at);
        problem.value(&at)
    });
    Ok(Line {
        values: values.collect::<Result<_>>()?,
        steps: steps.to_vec(),
    })
}

/// The loss on the plane of two directions of any length.
///
/// # Errors
/// As [`line()`].
pub fn plane<T: Scalar>(
    problem: &dyn Objective<T>,
    x: &[T],
    directions: [&[T]; 2],
    steps: &[f64],
) -> Result<Plane> {
    let [a, b] = directions;
    check("the first direction", a, x)?;
    check("the second direction", b, x)?;
    let mut at = x.to_vec();
    let mut row = |t: f64| {
        let values = steps.iter().map(|&s| {
            moved(x, &[(s, a), (t, b)], &mut at);
            problem.value(&at)
        });
        values.collect::<Result<Vec<f64>>>()
    };
    let values = steps.iter().map(|&t| row(t)).collect::<Result<_>>()?;
    Ok(Plane {
        first: steps.to_vec(),
        second: steps.to_vec(),
        values,
    })
}

/// A random direction whose length in every piece of the parameters is that of the parameters there, so that layers of
/// different scale move alike (Li et al., "Visualizing the loss landscape of neural nets", arXiv 1712.09913, by pieces in place of
/// filters).
pub fn scaled_direction<T: Scalar>(layout: &Layout, x: &[T], seed: u64) -> Vec<T> {
    let mut stream = SeedTree::new(seed).child("direction").stream(0);
    let mut direction: Vec<T> = (0..x.len()).map(|_| T::of(stream.normal())).collect();
    for segment in layout.segments() {
        let own = &mut direction[segment.range()];
        let (length, wanted) = (vector::norm2(own), vector::norm2(&x[segment.range()]));
        if length > 0.0 {
            vector::scale(wanted / length, own);
        }
    }
    direction
}

fn check<T>(what: &str, direction: &[T], x: &[T]) -> Result<()> {
    if direction.len() == x.len() {
        return Ok(());
    }
    Err(Error::shape(what, direction.len(), x.len()))
}

/// `x` and multiples of directions.
fn moved<T: Scalar>(x: &[T], by: &[(f64, &[T])], out: &mut [T]) {
    for (i, (o, x)) in out.iter_mut().zip(x).enumerate() {
        let terms = by.iter().map(|(t, d)| t * d[i].to_f64());
        *o = T::of(x.to_f64() + terms.sum::<f64>());
    }
}
