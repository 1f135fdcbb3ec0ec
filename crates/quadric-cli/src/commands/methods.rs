//! `quadric methods`: the registry of methods, and the options of each.

use crate::args::{Global, MethodsArgs};
use crate::console;
use quadric::core::Result;
use quadric::opt::registry::{self, Entry};
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::ExitCode;

pub(crate) fn run(a: &MethodsArgs, global: &Global) -> Result<ExitCode> {
    let entries: Vec<&Entry> = match &a.name {
        Some(name) => vec![registry::find(name)?],
        None => registry::registry().iter().collect(),
    };
    if global.json {
        let all: Vec<Value> = entries.iter().map(|e| document(e)).collect();
        console::print_json(&json!({ "methods": all }))?;
    } else if a.markdown {
        console::print(&page(&entries))?;
    } else if a.name.is_some() {
        console::print(&entries.iter().map(|e| details(e)).collect::<String>())?;
    } else {
        console::print(&table(&entries))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn document(e: &Entry) -> Value {
    json!({
        "name": e.name, "summary": e.summary, "paper": e.paper, "needs": e.needs,
        "defaults": (e.defaults)(), "schema": (e.schema)(),
    })
}

fn table(entries: &[&Entry]) -> String {
    let width = entries.iter().map(|e| e.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for e in entries {
        let _ = writeln!(text, "{:width$}  {}", e.name, e.summary);
    }
    text + "\n`quadric methods NAME` shows the options of one; set them with --set KEY=VALUE.\n"
}

fn details(e: &Entry) -> String {
    let mut text = format!(
        "{}\n  {}\n  needs: {}\n  after: {}\n",
        e.name, e.summary, e.needs, e.paper
    );
    for (name, default, about) in options(e) {
        let _ = writeln!(text, "\n  {name} = {default}\n      {about}");
    }
    text
}

fn page(entries: &[&Entry]) -> String {
    let mut text = String::from(
        "<!-- Written by `cargo xtask generate` from the registry; do not edit. -->\n# Methods\n\n\
         Choose with `--method NAME`, set options with `--set KEY=VALUE`. `auto` takes `newton` where the problem is\n\
         self-concordant, `trust-region-newton` where it has Hessian products, `l-bfgs` otherwise.\n",
    );
    for e in entries {
        let _ = write!(
            text,
            "\n## {}\n\n{}\n\nNeeds: {}. After: {}\n",
            e.name, e.summary, e.needs, e.paper
        );
        let options = options(e);
        if !options.is_empty() {
            text += "\n| option | default | meaning |\n|---|---|---|\n";
        }
        for (name, default, about) in options {
            let _ = writeln!(
                text,
                "| `{name}` | `{default}` | {} |",
                about.replace('|', "\\|")
            );
        }
    }
    text
}

/// Name, default and description of each option, from the configuration's schema.
fn options(e: &Entry) -> Vec<(String, String, String)> {
    let (schema, defaults) = ((e.schema)(), (e.defaults)());
    let Some(properties) = schema["properties"].as_object() else {
        return Vec::new();
    };
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    properties
        .iter()
        .map(|(name, p)| {
            (
                name.clone(),
                defaults[name].to_string(),
                one_line(p["description"].as_str().unwrap_or_default()),
            )
        })
        .collect()
}
