//! The networks of the experiment, and the digits.

use super::measured::Variant;
use crate::args::PyhessianArgs;
use quadric::autodiff::Array;
use quadric::core::{Error, Result};
use quadric::data::{Dataset, embedded};
use quadric::linalg::DataMatrix;
use quadric::linalg::random::SeedTree;
use quadric::nn::models::{Resnet, resnet};
use quadric::nn::{Examples, Network};

/// Examples of the batch that initial weights are scaled by.
const START: usize = 128;

/// The digits that networks are trained on, and those of them over which the Hessian is taken.
pub(super) struct Digits {
    pub(super) train: Examples<f32>,
    pub(super) hessian: Examples<f32>,
    /// A batch that initial weights are scaled by.
    pub(super) start: Examples<f32>,
}

impl Digits {
    /// Draws the examples; the same for all trainings.
    pub(super) fn draw(a: &PyhessianArgs) -> Result<Self> {
        let data = embedded("digits")?;
        let all = data.rows();
        let mut stream = SeedTree::new(0).child("examples").stream(0);
        let order = stream.permutation(all);
        let count = a.examples.unwrap_or(all);
        if !(1..=all).contains(&count) {
            return Err(Error::argument("examples", count, &format!("1 to {all}")));
        }
        if a.hessian_examples == 0 {
            return Err(Error::argument("hessian-examples", 0, "at least 1"));
        }
        let few = a.hessian_examples.min(count);
        Ok(Self {
            train: examples(&data, &order[..count])?,
            hessian: examples(&data, &order[..few])?,
            start: examples(&data, &order[..count.min(START)])?,
        })
    }

    pub(super) fn counts(&self) -> [usize; 2] {
        [self.train.count, self.hessian.count]
    }
}

/// Rows as images with pixels between -1 and 1.
fn examples(data: &Dataset, rows: &[usize]) -> Result<Examples<f32>> {
    let DataMatrix::Dense(x) = &data.x else {
        return Err(Error::data("the pixels of the digits are not dense"));
    };
    let pixels = rows.iter().flat_map(|&i| x.row(i));
    let labels = rows.iter().map(|&i| data.target[i] as i32);
    Ok(Examples {
        count: rows.len(),
        inputs: vec![Array::Float(
            pixels.map(|v| (v / 8.0 - 1.0) as f32).collect(),
        )],
        targets: Array::Index(labels.collect()),
    })
}

/// The network of a variant, for digits.
pub(super) fn network(variant: Variant, width: usize) -> Result<Network> {
    resnet(Resnet {
        depth: variant.depth,
        image: [8, 8, 1],
        width,
        classes: 10,
        batch_norm: variant.batch_norm,
        residual: variant.residual,
    })
}
