//! Capabilities and batches.

use super::{Bench, Worst};
use crate::{FiniteSum, Problem, Result, Scalar, vector};

/// The names of what a problem offers.
fn offered<T: Scalar>(p: &dyn Problem<T>) -> Vec<&'static str> {
    [
        ("Objective", p.as_objective().is_some()),
        ("Smooth", p.as_smooth().is_some()),
        ("TwiceSmooth", p.as_twice_smooth().is_some()),
        ("SelfConcordant", p.as_self_concordant().is_some()),
        ("FiniteSum", p.as_finite_sum().is_some()),
        ("Columns", p.as_columns().is_some()),
    ]
    .into_iter()
    .filter_map(|(name, offers)| offers.then_some(name))
    .collect()
}

impl<T: Scalar> Bench<'_, T> {
    /// A capability includes what it stands on. One that is implemented and never declared cannot be seen from here.
    pub(super) fn capabilities(&mut self) {
        let names = offered(self.problem);
        let mut worst = Worst::default();
        for (name, base) in [
            ("Smooth", "Objective"),
            ("TwiceSmooth", "Smooth"),
            ("SelfConcordant", "TwiceSmooth"),
            ("FiniteSum", "Smooth"),
            ("Columns", "Smooth"),
        ] {
            let lacks = names.contains(&name) && !names.contains(&base);
            worst.see(f64::from(lacks), || {
                format!("{name} is declared in capabilities!, {base} is not")
            });
        }
        if names.is_empty() {
            worst.see(1.0, || "nothing is declared in capabilities!".into());
        }
        self.add("capabilities", worst, 0.0);
    }

    /// A batch of all rows is the whole, the mean of batches is the whole, and a batch offers what the whole offers.
    pub(super) fn batches(&mut self) -> Result<()> {
        let Some(sum) = self.problem.as_finite_sum() else {
            self.skip("batches", "the problem does not offer FiniteSum");
            return Ok(());
        };
        let n = self.x.len();
        let terms = sum.terms();
        let mut g = vec![T::of(0.0); n];
        let value = sum.value_grad(self.x, &mut g)?;
        let limit = 1e4 * self.rounding() * (1.0 + (terms as f64).sqrt());

        let all: Vec<usize> = (0..terms).collect();
        let whole = sum.batch(&all)?;
        let mut offers = Worst::default();
        let (mine, theirs) = (offered(self.problem), offered::<T>(&*whole));
        offers.see(f64::from(mine != theirs), || {
            format!("the whole offers {mine:?}, a batch {theirs:?}")
        });
        self.add("a batch offers what the whole offers", offers, 0.0);

        let mut one = Worst::default();
        let mut batch_g = vec![T::of(0.0); n];
        let batch_value = whole.value_grad(self.x, &mut batch_g)?;
        compare(
            &mut one,
            (value, &g),
            (batch_value, &widened(&batch_g)),
            "all rows",
        );
        self.add("a batch of all rows is the whole", one, limit);

        let mut mean = Worst::default();
        let average = average_of_batches(sum, self.x)?;
        compare(
            &mut mean,
            (value, &g),
            (average.0, &average.1),
            "the mean over batches",
        );
        self.add("the mean over rows is the whole", mean, limit);

        let mut range = Worst::default();
        range.see(f64::from(sum.batch(&[terms]).is_ok()), || {
            format!("row {terms} of {terms} was accepted")
        });
        self.add("a row out of range is refused", range, 0.0);
        Ok(())
    }
}

fn widened<T: Scalar>(v: &[T]) -> Vec<f64> {
    v.iter().map(|v| v.to_f64()).collect()
}

fn compare<T: Scalar>(worst: &mut Worst, a: (f64, &[T]), b: (f64, &[f64]), what: &str) {
    let size = a.0.abs().max(b.0.abs()).max(f64::MIN_POSITIVE);
    worst.see((a.0 - b.0).abs() / size, || {
        format!("{what}: value {:e}, not {:e}", b.0, a.0)
    });
    let difference: Vec<f64> = a.1.iter().zip(b.1).map(|(a, b)| a.to_f64() - b).collect();
    let size = vector::norm2(a.1).max(vector::norm2(b.1));
    // Near the optimum terms cancel; what remains is rounding of their size, about that of F.
    let size = size.max(a.0.abs()).max(f64::MIN_POSITIVE);
    worst.see(vector::norm2(&difference) / size, || {
        format!("{what}: the gradient differs")
    });
}

/// Mean of value and gradient over a partition of the rows into batches of equal size, one row each while rows are few.
fn average_of_batches<T: Scalar>(sum: &dyn FiniteSum<T>, x: &[T]) -> Result<(f64, Vec<f64>)> {
    let terms = sum.terms();
    // The largest number of equal batches up to a few hundred.
    let pieces = (1..=terms.min(300))
        .rev()
        .find(|k| terms.is_multiple_of(*k));
    let size = terms / pieces.unwrap_or(1).max(1);
    let rows: Vec<usize> = (0..terms).collect();
    let mut g = vec![T::of(0.0); x.len()];
    let (mut value, mut mean) = (0.0, vec![0.0; x.len()]);
    let mut count = 0.0;
    for piece in rows.chunks(size.max(1)) {
        value += sum.batch(piece)?.value_grad(x, &mut g)?;
        for (m, g) in mean.iter_mut().zip(&g) {
            *m += g.to_f64();
        }
        count += 1.0;
    }
    vector::scale(1.0 / count, &mut mean);
    Ok((value / count, mean))
}
