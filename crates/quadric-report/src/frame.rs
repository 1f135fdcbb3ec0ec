//! What all pages share: heading, summary, configuration, data block, script, style, and that nothing leaves the page.

use crate::format::clean;
use quadric_core::{Error, ErrorKind, Result};
use serde::Serialize;

/// The chart library.
const PLOTLY: &str = include_str!("../assets/plotly-cartesian-4.1.1.min.js");
const STYLE: &str = include_str!("../templates/frame.css");
/// Colours, settings of charts, buttons, downloads and paper, for the scripts of the pages.
const SHARED: &str = include_str!("../templates/frame.js");

/// Names longer than this are cut where they are shown; the JSON data keep them whole.
pub(crate) const NAME: usize = 60;
/// Colours of the palette in the style sheet; later curves start again, with thinner lines and other markers.
pub(crate) const COLOURS: usize = 8;

/// The fields of `frame.html`.
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    /// As HTML.
    pub(crate) summary: String,
    pub(crate) config: Option<String>,
    pub(crate) data: String,
    pub(crate) script: &'static str,
    pub(crate) shared: &'static str,
    pub(crate) plotly: &'static str,
    pub(crate) style: &'static str,
}

impl Frame {
    /// A page with this title; `data` is what its script reads.
    ///
    /// # Errors
    /// `Internal` if data or configuration cannot be written as JSON.
    pub(crate) fn new(
        title: &str,
        subtitle: &str,
        summary: String,
        config: Option<&serde_json::Value>,
        data: &impl Serialize,
        script: &'static str,
    ) -> Result<Self> {
        let failed =
            |e| Error::new(ErrorKind::Internal, "cannot write the report's numbers").with_source(e);
        let config = config
            .map(serde_json::to_string_pretty)
            .transpose()
            .map_err(failed)?;
        Ok(Self {
            title: clean(title, 200),
            subtitle: subtitle.to_owned(),
            summary,
            config,
            data: harmless(&serde_json::to_string(data).map_err(failed)?),
            script,
            shared: SHARED,
            plotly: PLOTLY,
            style: STYLE,
        })
    }
}

/// Fills in a template.
///
/// # Errors
/// `Internal` if that fails.
pub(crate) fn fill(template: &impl askama::Template) -> Result<String> {
    let failed = |e| Error::new(ErrorKind::Internal, "cannot fill in the report").with_source(e);
    template.render().map_err(failed)
}

/// Inside a JSON document these characters only occur in strings, where the escape means the same.
fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}
