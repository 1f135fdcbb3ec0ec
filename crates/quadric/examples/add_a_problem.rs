//! A problem of one's own, solved by every method that needs no more than it offers.

use quadric::core::{BoxOp, capabilities};
use quadric::linalg::algebra::Diagonal;
use quadric::prelude::*;

/// `F(x) = Σ √(1 + (x_i - i)²)`.
struct PseudoHuber(usize);

impl PseudoHuber {
    fn residuals<'x>(&self, x: &'x [f64]) -> impl Iterator<Item = f64> + use<'x> {
        x.iter().enumerate().map(|(i, x)| x - i as f64)
    }
}

impl Problem<f64> for PseudoHuber {
    fn dim(&self) -> usize {
        self.0
    }
    capabilities!(f64: TwiceSmooth);
}

impl Objective<f64> for PseudoHuber {
    fn value(&self, x: &[f64]) -> Result<f64> {
        Ok(self.residuals(x).map(|r| r.hypot(1.0)).sum())
    }
}

impl Smooth<f64> for PseudoHuber {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        for (g, r) in g.iter_mut().zip(self.residuals(x)) {
            *g = r / r.hypot(1.0);
        }
        self.value(x)
    }
}

impl TwiceSmooth<f64> for PseudoHuber {
    fn hessian(&self, x: &[f64]) -> Result<BoxOp<'_, f64>> {
        let curvature = self.residuals(x).map(|r| r.hypot(1.0).powi(-3));
        Ok(Box::new(Diagonal(curvature.collect())))
    }
}

fn main() -> Result<()> {
    let problem = PseudoHuber(50);
    let start = vec![0.0; 50];
    // Values, gradients, Hessian products and symmetry against finite differences.
    let check = quadric::core::check_derivatives(&problem, &start, 0)?;
    assert!(check.passed(), "{check}");
    for entry in quadric::opt::registry::registry() {
        if entry.applies(&problem) {
            let method = entry.build::<f64>(&serde_json::Value::Null)?;
            let outcome = method.run(&mut Driver::default(), start.clone(), &problem)?;
            assert_eq!(outcome.status, Status::Converged, "{}", entry.name);
        }
    }
    Ok(())
}

#[test]
fn it_converges() -> Result<()> {
    main()
}
