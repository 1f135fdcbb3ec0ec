//! Damping, and paths of regularisation: `F(x) + mu/2 ‖x - x0‖²` for falling mu, ending at mu = 0.

use super::gsc_newton::GscNewton;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the added regularisation falls to zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// No path but damping about the point at hand: as much as the length of the last step asks for, none at the end.
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
    /// Where on the path the method is, or how damped.
    pub struct Path {
        /// Added regularisation or damping; 0 at the end of the path.
        mu: f64,
        /// Steps taken at this level.
        steps: u64,
        /// Levels left behind.
        level: u64,
        /// Damping with which the last short step was taken, less for full steps since; 0 before.
        too_little: f64,
    }
}

/// What a step tells the path.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepFacts {
    pub length: f64,
    /// Half the squared decrement, as a fraction of F.
    pub promised: f64,
    /// `dᵀ∇²F d / dᵀd`, without the added regularisation.
    pub curvature: f64,
    /// `‖x - x0‖` after the step.
    pub distance: f64,
}

/// Shorter steps than this say that the quadratic model does not hold as far as they were to go.
const SHORT: f64 = 0.5;
/// Longer ones that it holds further.
const FULL: f64 = 0.9;
/// Factors of the damping after a step between the two, and after a full one.
const EASED: f64 = 0.5;
const FALL: f64 = 0.1;
/// Damping below this fraction of the curvature along a step changes nothing.
const NEGLIGIBLE: f64 = 1e-6;
/// Steps that promise less than this fraction of F say nothing about the damping.
const NOTHING: f64 = 1e-13;

impl Path {
    /// A path that begins at `mu`.
    pub(super) fn from(mu: f64) -> Self {
        Self {
            mu,
            steps: 0,
            level: 0,
            too_little: 0.0,
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
            Schedule::Auto => self.damp(facts),
            _ if self.mu == 0.0 && config.schedule != Schedule::List => {}
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

    /// The damping that would have made the last step about as long as it turned out, less after a full one. Directions
    /// in which curvature has faded, as it does where rows are classified beyond doubt, are then left for later instead
    /// of shortening the whole step.
    fn damp(&mut self, facts: StepFacts) {
        let curvature = facts.curvature.max(0.0);
        if facts.length >= FULL {
            // Halfway to what was too little, by ratio.
            self.mu = (FALL * self.mu).max((self.mu * self.too_little).sqrt());
            self.too_little *= FALL;
        } else if facts.length >= SHORT {
            self.mu *= EASED;
        } else if facts.promised > NOTHING {
            self.too_little = self.mu;
            self.mu = ((self.mu + curvature) / facts.length).max(self.mu / SHORT);
        }
        if self.mu <= NEGLIGIBLE * curvature {
            self.mu = 0.0;
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
