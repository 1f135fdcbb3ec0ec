//! Small real data sets inside the library, so that examples and tests need no files. Origins: `assets/ASSETS.md`.

use crate::dataset::Dataset;
use crate::options::{Format, ReadOptions};
use crate::reader::read_bytes;
use quadric_linalg::{Error, Result};

/// What an embedded data set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct EmbeddedSet {
    /// The name to ask for.
    pub name: &'static str,
    /// `binary`, `multi-class` or `regression`.
    pub task: &'static str,
    /// Number of rows n.
    pub rows: usize,
    /// Number of features d.
    pub columns: usize,
    /// The licence of the data.
    pub licence: &'static str,
    /// Where the data come from.
    pub origin: &'static str,
    /// One line about the data.
    pub description: &'static str,
    #[serde(skip)]
    file: &'static str,
    #[serde(skip)]
    bytes: &'static [u8],
}

macro_rules! sets {
    ($($name:literal $task:literal $rows:literal x $columns:literal, $licence:literal, $origin:literal, $file:literal: $description:literal;)*) => {
        &[$(EmbeddedSet {
            name: $name,
            task: $task,
            rows: $rows,
            columns: $columns,
            licence: $licence,
            origin: $origin,
            description: $description,
            file: $file,
            bytes: include_bytes!(concat!("../assets/", $file)),
        },)*]
    };
}

static SETS: &[EmbeddedSet] = sets! {
    "a9a" "binary" 32561 x 123, "CC BY 4.0", "UCI Adult", "a9a.gz":
        "Does a person earn more than 50000 dollars a year? 123 indicators, sparse.";
    "mushrooms" "binary" 8124 x 112, "CC BY 4.0", "UCI Mushroom", "mushrooms.gz":
        "Edible or poisonous? 112 indicators, separable: without a penalty there is no finite minimiser.";
    "breast-cancer" "binary" 683 x 10, "CC BY 4.0", "UCI Breast Cancer Wisconsin (Original)", "breast-cancer.gz":
        "Unscaled; the first column is the sample number, up to 1e7: ill-conditioned by nature.";
    "australian" "binary" 690 x 14, "CC BY 4.0", "UCI Statlog (Australian Credit Approval)", "australian.gz":
        "Credit approval, unscaled: one column reaches 100001.";
    "german.numer_scale" "binary" 1000 x 24, "CC BY 4.0", "UCI Statlog (German Credit Data)", "german.numer_scale.gz":
        "Credit risk, scaled to [-1, 1].";
    "wdbc" "binary" 569 x 30, "BSD-3-Clause", "UCI Breast Cancer Wisconsin (Diagnostic)", "wdbc.csv.gz":
        "Malignant (0) or benign (1) from measurements of cell nuclei, unscaled.";
    "digits" "multi-class" 1797 x 64, "BSD-3-Clause", "UCI Optical Recognition of Handwritten Digits", "digits.csv.gz":
        "Handwritten digits, 8 x 8 pixels of 0 to 16.";
    "iris" "multi-class" 150 x 4, "BSD-3-Clause", "UCI Iris (Fisher 1936)", "iris.csv.gz":
        "Three kinds of iris from four lengths.";
    "wine_recognition" "multi-class" 178 x 13, "BSD-3-Clause", "UCI Wine", "wine_recognition.csv.gz":
        "Three growers of wine from a chemical analysis, unscaled.";
    "diabetes_lars" "regression" 442 x 10, "BSD-3-Clause", "Efron, Hastie, Johnstone, Tibshirani 2004", "diabetes_lars.csv.gz":
        "Progress of diabetes after a year, unscaled.";
};

/// The embedded data sets.
pub fn embedded_sets() -> &'static [EmbeddedSet] {
    SETS
}

/// Reads an embedded data set.
///
/// # Errors
/// `Argument` for a name that is not one of [`embedded_sets`].
///
/// # Example
/// ```
/// let iris = quadric_data::embedded("iris")?;
/// assert_eq!((iris.rows(), iris.features()), (150, 4));
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
pub fn embedded(name: &str) -> Result<Dataset> {
    let Some(set) = SETS.iter().find(|s| s.name == name) else {
        let names: Vec<&str> = SETS.iter().map(|s| s.name).collect();
        return Err(Error::argument(
            "name",
            format!("`{name}`"),
            &format!("an embedded data set: {}", names.join(", ")),
        ));
    };
    let format = if set.file.ends_with(".csv.gz") {
        Format::Csv
    } else {
        Format::Svmlight
    };
    let options = ReadOptions {
        format: Some(format),
        columns: (format == Format::Svmlight).then_some(set.columns),
        ..ReadOptions::default()
    };
    let mut data = read_bytes(set.file, set.bytes.to_vec(), &options)?;
    set.name.clone_into(&mut data.name);
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_as_described() {
        for set in embedded_sets() {
            let data = embedded(set.name).unwrap();
            assert_eq!(
                (data.rows(), data.features()),
                (set.rows, set.columns),
                "{}",
                set.name
            );
            assert_eq!(data.target.len(), set.rows);
            let mut labels = data.target.clone();
            labels.sort_by(f64::total_cmp);
            labels.dedup();
            match set.task {
                "binary" => assert_eq!(labels.len(), 2, "{}", set.name),
                "multi-class" => assert!((3..=10).contains(&labels.len()), "{}", set.name),
                _ => assert!(labels.len() > 20, "{}", set.name),
            }
        }
        assert!(embedded("iris2").unwrap_err().to_string().contains("wdbc"));
    }

    #[test]
    fn published_counts() {
        let a9a = embedded("a9a").unwrap();
        assert_eq!(a9a.x.nonzeros(), 451_592);
        assert_eq!(a9a.target.iter().filter(|y| **y == 1.0).count(), 7841);
        let mushrooms = embedded("mushrooms").unwrap();
        assert_eq!(mushrooms.target.iter().filter(|y| **y == 1.0).count(), 3916);
    }
}
