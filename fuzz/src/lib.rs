//! What must hold for every input of every reader: no panic, bounded memory, and `write(read(x)) == x`; and for every
//! differentiable program. The fuzzer searches for inputs that break it; the tests of the workspace replay the seeds and what
//! was found.

mod containers;
mod data;
mod networks;
mod programs;
mod settings;
mod traces;

use peak_alloc::PeakAlloc;
use std::sync::Once;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// A name, and a property of any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target by name.
pub const TARGETS: [Target; 13] = [
    ("svmlight", data::svmlight),
    ("csv", data::csv),
    ("npy", data::npy),
    ("npz", data::npz),
    ("idx", data::idx),
    ("sequences", data::sequences),
    ("config", settings::config),
    ("checkpoint", containers::checkpoint),
    ("trace", traces::trace),
    ("model", containers::model),
    ("program", programs::program),
    ("onnx", networks::onnx),
    ("weights", networks::weights),
];

static WARM: Once = Once::new();

/// Bytes that a target may take whatever the input.
const FREE: usize = 64 << 20;

/// Gives `input` to a target.
///
/// # Panics
/// A property does not hold: more than 64 MiB and four times the input are held at once, or what the target checks.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|t| t.0 == name).expect("a target").1;
    WARM.call_once(containers::warm_up);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    target(input);
    let peak = MEMORY.peak_usage().saturating_sub(before);
    assert!(
        peak <= FREE + 4 * input.len(),
        "{name} holds {peak} bytes for {} bytes of input",
        input.len()
    );
}
