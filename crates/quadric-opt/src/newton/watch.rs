//! Notices when neither the value nor the gradient improves any more.

quadric_core::state! {
    /// The best value and gradient so far, and for how many steps neither improved.
    pub struct Watch {
        /// Least value.
        value: f64,
        /// Least gradient entry in absolute value.
        gradient: f64,
        /// Steps since the last improvement.
        idle: u64,
    }
}

/// Steps without improvement after which a method gives up.
const PATIENCE: u64 = 3;

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            value: f64::INFINITY,
            gradient: f64::INFINITY,
            idle: 0,
        }
    }

    /// Takes in the newest value and largest gradient entry; true if the method stalls. A value improves if it falls by
    /// more than its rounding, a gradient if it falls by a tenth.
    pub(super) fn stalls(&mut self, value: f64, gradient: f64, epsilon: f64) -> bool {
        let better_value = value < self.value - 2.0 * epsilon * value.abs();
        let better_gradient = gradient < 0.9 * self.gradient;
        if better_value {
            self.value = value;
        }
        if better_gradient {
            self.gradient = gradient;
        }
        self.idle = if better_value || better_gradient {
            0
        } else {
            self.idle + 1
        };
        self.idle >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::Watch;

    #[test]
    fn rounding_is_no_progress_and_a_falling_gradient_is() {
        let mut watch = Watch::new();
        let mut stalls = |value, gradient| watch.stalls(value, gradient, f64::EPSILON);
        assert!(!stalls(1.0, 1.0));
        assert!(!stalls(1.0, 0.5));
        assert!(!stalls(1.0, 0.49));
        assert!(!stalls(1.0 - f64::EPSILON, 0.6));
        assert!(!stalls(1.0, 0.4));
        assert!(!stalls(1.0, 0.4));
        assert!(!stalls(1.0, 0.4));
        assert!(stalls(1.0, 0.4));
    }
}
