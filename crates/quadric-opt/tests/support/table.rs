//! The conformance table.

use super::functions::Function;
use super::sums::Logistic;
use quadric_core::{Problem, Tolerance};
use serde::Deserialize;

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    problem: Vec<Row>,
}

/// One problem; the head of the file says what the fields mean.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) start: Vec<f64>,
    pub(crate) repeat: usize,
    pub(crate) terms: usize,
    pub(crate) smallest: f64,
    pub(crate) l2: f64,
    pub(crate) optimum: Option<f64>,
    pub(crate) optima: Vec<f64>,
    pub(crate) tolerance: f64,
    /// In place of an optimum: bound on `F - F*` by strong convexity.
    pub(crate) gap: Option<f64>,
    pub(crate) relative: f64,
    pub(crate) absolute: f64,
    pub(crate) must_converge: Vec<String>,
    pub(crate) evaluations: u64,
    pub(crate) unbounded: bool,
    pub(crate) source: String,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            name: String::new(),
            start: Vec::new(),
            repeat: 1,
            terms: 0,
            smallest: 1.0,
            l2: 0.0,
            optimum: None,
            optima: Vec::new(),
            tolerance: 0.0,
            gap: None,
            relative: 1e-10,
            absolute: 0.0,
            must_converge: Vec::new(),
            evaluations: 20_000,
            unbounded: false,
            source: String::new(),
        }
    }
}

impl Row {
    pub(crate) fn x0(&self) -> Vec<f64> {
        self.start.repeat(self.repeat)
    }

    pub(crate) fn build(&self) -> Box<dyn Problem<f64>> {
        let dim = self.x0().len();
        if self.name == "logistic" {
            return Box::new(Logistic::new(self.terms, dim, self.smallest, self.l2));
        }
        Box::new(Function::named(&self.name, dim).expect(&self.name))
    }

    pub(crate) fn label(&self) -> String {
        format!("{} d={} from {:?}", self.name, self.x0().len(), self.start)
    }

    pub(crate) fn driver_tolerance(&self) -> Tolerance {
        Tolerance {
            relative: self.relative,
            absolute: self.absolute,
        }
    }

    /// Whether a point with this value and gradient is as good as `Converged` must be.
    pub(crate) fn is_optimal(&self, value: f64, gradient: f64) -> bool {
        if let Some(gap) = self.gap {
            let dim = self.x0().len() as f64;
            return dim * gradient * gradient / (2.0 * self.l2) <= gap * value.abs();
        }
        let optima = self.optimum.iter().chain(&self.optima);
        !self.unbounded
            && optima
                .into_iter()
                .any(|f| (value - f).abs() <= self.tolerance)
    }
}

/// All rows of the repository's table.
pub(crate) fn rows() -> Vec<Row> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../testdata/conformance/functions.toml"
    );
    let text = std::fs::read_to_string(path).expect(path);
    toml::from_str::<Table>(&text).expect(path).problem
}
