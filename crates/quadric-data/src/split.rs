//! Seeded splits into two parts.

use crate::dataset::Dataset;
use quadric_linalg::random::SeedTree;
use quadric_linalg::{Error, Result};

impl Dataset {
    /// Splits the rows at random into a first part and a second part that holds `fraction` of them (rounded, at least
    /// one row each); both keep the order of the rows. With `stratify`, every value of the target keeps its share.
    ///
    /// The same seed gives the same split, whatever the values of the features.
    ///
    /// # Errors
    /// A fraction that is not strictly between 0 and 1, fewer than two rows, or stratification without a target or by a
    /// target with more than one value for every two rows.
    ///
    /// # Example
    /// ```
    /// let iris = quadric_data::embedded("iris")?;
    /// let (train, test) = iris.split(0.2, 0, true)?;
    /// assert_eq!((train.rows(), test.rows()), (120, 30));
    /// # Ok::<(), quadric_linalg::Error>(())
    /// ```
    pub fn split(&self, fraction: f64, seed: u64, stratify: bool) -> Result<(Self, Self)> {
        let n = self.rows();
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(Error::argument(
                "fraction",
                fraction,
                "a number strictly between 0 and 1",
            ));
        }
        if n < 2 {
            return Err(Error::data(format!(
                "`{}` has {n} rows; a split needs two",
                self.name
            )));
        }
        let second = (fraction * n as f64).round().clamp(1.0, (n - 1) as f64) as usize;
        let order = SeedTree::new(seed).child("split").stream(0).permutation(n);
        let mut chosen = vec![false; n];
        if stratify {
            for (class, take) in self.quotas(second)? {
                let class_rows = order
                    .iter()
                    .filter(|i| self.target[**i].total_cmp(&class).is_eq());
                class_rows.take(take).for_each(|i| chosen[*i] = true);
            }
        } else {
            order[..second].iter().for_each(|i| chosen[*i] = true);
        }
        let part = |second: bool| {
            let rows: Vec<usize> = (0..n).filter(|i| chosen[*i] == second).collect();
            self.select_rows(&rows)
        };
        Ok((part(false)?, part(true)?))
    }

    /// Deals the rows at random into `count` folds of nearly equal size and returns the fold of each row. With `stratify`,
    /// every value of the target is spread evenly. The same seed gives the same folds, whatever the values of the features.
    ///
    /// # Errors
    /// Fewer than two folds, more folds than rows, or stratification without a target.
    ///
    /// # Example
    /// ```
    /// let iris = quadric_data::embedded("iris")?;
    /// let fold = iris.folds(5, 0, true)?;
    /// assert_eq!(fold.iter().filter(|f| **f == 0).count(), 30);
    /// # Ok::<(), quadric_linalg::Error>(())
    /// ```
    pub fn folds(&self, count: usize, seed: u64, stratify: bool) -> Result<Vec<usize>> {
        let n = self.rows();
        if count < 2 || count > n {
            return Err(Error::argument(
                "folds",
                count,
                &format!("2 to {n}, the number of rows"),
            ));
        }
        if stratify && self.target.len() != n {
            return Err(Error::data(format!(
                "`{}` has no target to stratify by",
                self.name
            )));
        }
        let mut order = SeedTree::new(seed).child("folds").stream(0).permutation(n);
        if stratify {
            // A stable sort keeps the random order within each value, and dealing goes on where the last value ended.
            order.sort_by(|a, b| self.target[*a].total_cmp(&self.target[*b]));
        }
        let mut fold = vec![0; n];
        for (place, row) in order.into_iter().enumerate() {
            fold[row] = place % count;
        }
        Ok(fold)
    }

    /// How many rows of each target value go to the second part: largest remainders, which add up to `second`.
    fn quotas(&self, second: usize) -> Result<Vec<(f64, usize)>> {
        let n = self.rows();
        let mut sorted = self.target.clone();
        sorted.sort_by(f64::total_cmp);
        let classes: Vec<(f64, usize)> = sorted
            .chunk_by(|a, b| a.total_cmp(b).is_eq())
            .map(|class| (class[0], class.len()))
            .collect();
        if classes.is_empty() || classes.len() > n / 2 {
            return Err(Error::data(format!(
                "`{}` cannot be stratified: its target has {} different values in {n} rows",
                self.name,
                classes.len()
            )));
        }
        // In whole numbers: class size times `second` over n, with its remainder.
        let share = |size: usize| (size as u128 * second as u128 / n as u128) as usize;
        let remainder = |size: usize| size as u128 * second as u128 % n as u128;
        let mut quotas: Vec<(f64, usize)> =
            classes.iter().map(|(v, size)| (*v, share(*size))).collect();
        let left = second - quotas.iter().map(|q| q.1).sum::<usize>();
        let mut by_remainder: Vec<usize> = (0..classes.len()).collect();
        by_remainder.sort_by_key(|k| std::cmp::Reverse(remainder(classes[*k].1)));
        by_remainder[..left].iter().for_each(|k| quotas[*k].1 += 1);
        Ok(quotas)
    }
}

#[cfg(test)]
mod tests {
    use crate::embedded;

    #[test]
    fn parts_are_a_partition() {
        let wdbc = embedded("wdbc").unwrap();
        for stratify in [false, true] {
            let (a, b) = wdbc.split(0.25, 3, stratify).unwrap();
            assert_eq!((a.rows(), b.rows()), (427, 142));
            let ones = |v: &[f64]| v.iter().filter(|y| **y == 1.0).count();
            assert_eq!(ones(&a.target) + ones(&b.target), ones(&wdbc.target));
            if stratify {
                // 357 of 569 rows are benign: 89.09 of 142.
                assert_eq!(ones(&b.target), 89);
            }
        }
        let (a, _) = wdbc.split(0.25, 3, false).unwrap();
        let (again, _) = wdbc.split(0.25, 3, false).unwrap();
        let (other, _) = wdbc.split(0.25, 4, false).unwrap();
        assert_eq!(a.target, again.target);
        assert_ne!(a.target, other.target);
    }

    #[test]
    fn impossible_splits_are_refused() {
        let iris = embedded("iris").unwrap();
        for fraction in [0.0, 1.0, -0.5, f64::NAN] {
            assert!(iris.split(fraction, 0, false).is_err(), "{fraction}");
        }
        assert!(
            iris.select_rows(&[0])
                .unwrap()
                .split(0.5, 0, false)
                .is_err()
        );
        assert!(iris.select_rows(&[150]).is_err());
        let diabetes = embedded("diabetes_lars").unwrap();
        assert!(
            diabetes
                .select_rows(&[0, 1, 2])
                .unwrap()
                .split(0.5, 0, true)
                .is_err()
        );
        let (a, b) = iris.split(1e-9, 0, false).unwrap();
        assert_eq!((a.rows(), b.rows()), (149, 1));
    }
}
