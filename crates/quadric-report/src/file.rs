//! The page as a file that is either whole or not there.

use crate::{
    Comparison, Curvature, Evolution, Report, render, render_comparison, render_curvature,
    render_evolution,
};
use quadric_core::{Overwrite, Result, write_atomically};
use std::path::Path;

/// Renders `report` and writes it to `path` atomically; `overwrite` allows to replace a file that exists.
///
/// # Errors
/// `Io` if the file exists and `overwrite` is false or if the operating system refuses, and those of [`render`].
pub fn write(path: &Path, report: &Report, overwrite: bool) -> Result<()> {
    put(path, &render(report)?, overwrite)
}

/// [`write()`] for the page of a comparison.
///
/// # Errors
/// As [`write()`], and those of [`render_comparison`].
pub fn write_comparison(path: &Path, comparison: &Comparison, overwrite: bool) -> Result<()> {
    put(path, &render_comparison(comparison)?, overwrite)
}

/// [`write()`] for the page of a curvature analysis.
///
/// # Errors
/// As [`write()`], and those of [`render_curvature`].
pub fn write_curvature(path: &Path, curvature: &Curvature, overwrite: bool) -> Result<()> {
    put(path, &render_curvature(curvature)?, overwrite)
}

/// [`write()`] for the page of several curvature analyses.
///
/// # Errors
/// As [`write()`], and those of [`render_evolution`].
pub fn write_evolution(path: &Path, evolution: &Evolution, overwrite: bool) -> Result<()> {
    put(path, &render_evolution(evolution)?, overwrite)
}

fn put(path: &Path, html: &str, overwrite: bool) -> Result<()> {
    let overwrite = if overwrite {
        Overwrite::Replace
    } else {
        Overwrite::Refuse
    };
    write_atomically(path, overwrite, |out| out.write_all(html.as_bytes()))
}
