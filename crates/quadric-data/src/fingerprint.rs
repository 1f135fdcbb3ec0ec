//! A hash that tells two data sets apart.

use crate::Dataset;
use quadric_linalg::DataMatrix;

impl Dataset {
    /// Hash (BLAKE3, hexadecimal) of features, targets and weights, bit by bit; names and origin are not in it.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for n in [
            self.rows(),
            self.features(),
            usize::from(self.weights.is_some()),
        ] {
            hasher.update(&(n as u64).to_le_bytes());
        }
        let (structure, values) = match &self.x {
            DataMatrix::Dense(x) => (None, x.values()),
            DataMatrix::Sparse(x) => (Some(x.symbolic()), x.val()),
        };
        for indices in structure.iter().flat_map(|s| [s.row_ptr(), s.col_idx()]) {
            for v in indices {
                hasher.update(&v.to_le_bytes());
            }
        }
        let weights = self.weights.as_deref().unwrap_or_default();
        for floats in [values, &self.target, weights] {
            for v in floats {
                hasher.update(&v.to_le_bytes());
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_part_counts_and_names_do_not() {
        let data = crate::embedded("iris").unwrap();
        let mut other = data.clone();
        other.name = "elsewhere".into();
        assert_eq!(data.fingerprint(), other.fingerprint());
        other.target[3] += 1.0;
        assert_ne!(data.fingerprint(), other.fingerprint());
        other = data.clone();
        other.weights = Some(vec![1.0; data.rows()]);
        assert_ne!(data.fingerprint(), other.fingerprint());
    }
}
