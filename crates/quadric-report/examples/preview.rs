//! Writes the page of the tests' made-up race, to look at while changing the template:
//! `cargo run -p quadric-report --example preview -- preview.html`.

#[path = "../tests/common/mod.rs"]
mod common;

fn main() -> quadric_core::Result<()> {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "preview.html".to_owned());
    quadric_report::write(path.as_ref(), &common::race(), true)
}
