//! Paths of regularisation: `F(x) + mu/2 ‖x - x0‖²` for falling mu, ending at mu = 0.

use super::gsc_newton::GscNewton;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the added regularisation falls to zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// None with a Cholesky factorisation; with conjugate gradients a fast path whose early systems are well conditioned.
    #[default]
    Auto,
    /// None: safeguarded Newton steps on F itself from the start.
    Direct,
    /// The published scheme with its proven constants: two full steps a level, and very many levels. For study.
    Paper,
    /// As `paper`, with the Newton decrement and `‖x - x0‖` measured in the metric of the Hessian. For study.
    Measured,
    /// The levels of [`GscNewton::levels`].
    List,
}

/// One level of an explicit schedule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Regularisation added to F, in the problem's coordinates.
    pub mu: f64,
    /// Newton steps.
    pub steps: u64,
    /// Steps of conjugate gradients in each; absent: as many as the accuracy asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cg: Option<usize>,
}

quadric_core::state! {
    /// Where on the path the method is.
    pub struct Path {
        /// Added regularisation; 0 at the end of the path.
        mu: f64,
        /// Next factor of `mu` (schedule `auto`).
        ratio: f64,
        /// Steps taken at this level.
        steps: u64,
        /// Levels left behind.
        level: u64,
    }
}

/// What a step tells the path.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepFacts {
    pub length: f64,
    /// Decrease that the quadratic model promised, as a fraction of F.
    pub promised: f64,
    /// `dᵀ∇²F d / dᵀd`, without the added regularisation.
    pub curvature: f64,
    /// `‖x - x0‖` after the step.
    pub distance: f64,
}

/// A level has served once a full step promised to lower F by no more than this fraction.
const SETTLED: f64 = 0.02;
/// The path ends where going down a level gains no more than this fraction of F.
const IDLE: f64 = 1e-4;
/// So does one that this fraction of the curvature of F along a step exceeds.
const NEGLIGIBLE: f64 = 0.01;
/// Factor between levels of the fast path, and the steps after which it becomes gentler.
const RATIO: f64 = 0.1;
const PATIENCE: u64 = 6;

impl Path {
    /// A path that begins at `mu`.
    pub(super) fn from(mu: f64) -> Self {
        Self {
            mu,
            ratio: RATIO,
            steps: 0,
            level: 0,
        }
    }

    /// The end of every path.
    pub(super) fn end() -> Self {
        Self::from(0.0)
    }

    fn descend(&mut self, mu: f64) {
        self.mu = mu;
        self.steps = 0;
        self.level += 1;
    }

    /// Goes to the next level if this one has served.
    pub(super) fn advance(&mut self, config: &GscNewton, radius: f64, facts: StepFacts) {
        self.steps += 1;
        match config.schedule {
            _ if self.mu == 0.0 && config.schedule != Schedule::List => {}
            Schedule::Auto => self.advance_fast(facts),
            Schedule::Paper => {
                if self.steps >= 2 {
                    self.descend(paper_level(config.l2, self.mu, radius * facts.distance));
                }
            }
            Schedule::List => {
                let listed = |level: u64| {
                    config
                        .levels
                        .get(usize::try_from(level).unwrap_or(usize::MAX))
                };
                if listed(self.level).is_some_and(|l| self.steps >= l.steps) {
                    self.descend(listed(self.level + 1).map_or(0.0, |l| l.mu));
                }
            }
            Schedule::Direct | Schedule::Measured => {}
        }
    }

    fn advance_fast(&mut self, facts: StepFacts) {
        // Rows of large norm that are classified beyond doubt move far between levels without any effect on F, so the
        // concordance says little here; what is left to gain at this level does.
        if facts.length >= 1.0 && facts.promised <= SETTLED {
            let next = self.ratio * self.mu;
            // Regularisation that neither shapes the step nor changes what F can still gain has served.
            let is_idle = self.mu <= NEGLIGIBLE * facts.curvature
                || (self.steps == 1 && next <= 0.1 * facts.curvature && facts.promised <= IDLE);
            self.descend(if is_idle { 0.0 } else { next });
        } else if self.steps > PATIENCE {
            self.ratio = self.ratio.sqrt();
            self.steps = 0;
        }
    }

    /// Goes as far down as the measured quantities allow (schedule `measured`): `nu` and `distance` are the Newton decrement
    /// and `‖x - x0‖` in the dual metric of the Hessian at this level.
    pub(super) fn lower(&mut self, l2: f64, radius: f64, nu: f64, distance: f64) {
        let total = self.mu + l2;
        // 1/r <= R/√mu: the proven bound.
        let inverse_r = radius / total.sqrt();
        let (start, drift) = (nu * inverse_r, total * distance * inverse_r);
        let q = (start + drift) / (1.0 / 7.0 + drift);
        if q < 1.0 {
            self.descend((q * total - l2).max(0.0));
        }
    }
}

/// The next level of the published scheme, as an addition to F, whose own part is `l2`.
fn paper_level(l2: f64, mu: f64, m: f64) -> f64 {
    let q = (1.0 / 3.0 + 7.0 * m) / (1.0 + 7.0 * m);
    (q * (mu + l2) - l2).max(0.0)
}
