//! The conformance table.

use super::functions::Function;
use super::sums::Logistic;
use quadric_core::{Problem, Tolerance};
use quadric_models::{Glm, GlmOptions, Loss};
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
    /// Embedded data set of a generalised linear model.
    pub(crate) data: String,
    pub(crate) loss: String,
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
            data: String::new(),
            loss: String::new(),
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
        if self.name == "glm" {
            return self.glm().start();
        }
        self.start.repeat(self.repeat)
    }

    fn glm(&self) -> Glm<f64> {
        let data = quadric_data::embedded(&self.data).expect(&self.data);
        let loss = match self.loss.as_str() {
            "logistic" => Loss::Logistic,
            "softmax" => Loss::Softmax,
            other => panic!("no loss {other}"),
        };
        let options = GlmOptions {
            loss,
            l2: self.l2,
            ..GlmOptions::default()
        };
        Glm::new(data.x, &data.target, None, &options).expect(&self.data)
    }

    pub(crate) fn build(&self) -> Box<dyn Problem<f64>> {
        if self.name == "glm" {
            return Box::new(self.glm());
        }
        let dim = self.x0().len();
        if self.name == "logistic" {
            return Box::new(Logistic::new(self.terms, dim, self.smallest, self.l2));
        }
        Box::new(Function::named(&self.name, dim).expect(&self.name))
    }

    /// True if F is a sum over the rows of data.
    pub(crate) fn is_sum(&self) -> bool {
        self.name == "glm" || self.name == "logistic"
    }

    pub(crate) fn label(&self) -> String {
        if self.name == "glm" {
            return format!("{} {} l2={:e}", self.data, self.loss, self.l2);
        }
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

/// All rows of the repository's tables.
pub(crate) fn rows() -> Vec<Row> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/conformance");
    let read = |name: &str| {
        let path = format!("{folder}/{name}");
        let text = std::fs::read_to_string(&path).expect(&path);
        toml::from_str::<Table>(&text).expect(&path).problem
    };
    [read("functions.toml"), read("models.toml")].concat()
}
