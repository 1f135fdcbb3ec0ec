//! Configuration files.

use quadric::core::config::{Faults, Resolver, Source, Validate, resolved_toml};
use quadric::opt::registry::registry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of every kind that commands use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    tol: f64,
    seed: u64,
    limit: Option<u64>,
    sizes: Vec<usize>,
    name: String,
    verbose: bool,
    search: Search,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Search {
    rule: Rule,
    decrease: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Rule {
    Backtracking,
    StrongWolfe,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tol: 1e-10,
            seed: 0,
            limit: None,
            sizes: vec![1, 2],
            name: "run".into(),
            verbose: false,
            search: Search {
                rule: Rule::Backtracking,
                decrease: 1e-4,
            },
        }
    }
}

impl Validate for Settings {
    fn validate(&self, faults: &mut Faults) {
        faults.check(self.tol >= 0.0, "tol", self.tol, "at least 0");
    }
}

/// A document gives settings that write themselves down, or an error with a place; each line is also read as an assignment,
/// the whole as options of every method.
pub fn config(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut resolver = Resolver::default();
    resolver.toml(&text, "input.toml");
    match resolver.finish::<Settings>() {
        Ok(settings) => {
            let written = resolved_toml(&settings).expect("settings are TOML");
            let mut again = Resolver::default();
            again.toml(&written, "written.toml");
            let again = again.finish::<Settings>();
            assert_eq!(again.unwrap_or_else(|e| panic!("{e}: {written}")), settings);
            assert!(settings.tol.is_finite() && settings.search.decrease.is_finite());
        }
        Err(e) => assert!(e.to_string().contains("input.toml:"), "{e:?} has no place"),
    }
    for line in text.lines().take(20) {
        let mut resolver = Resolver::default();
        resolver.assign(Source::Flag, "--set", line);
        let _ = resolver.finish::<Settings>();
    }
    let options = toml::from_str::<toml::Table>(&text).ok();
    if let Some(options) = options.and_then(|o| serde_json::to_value(o).ok()) {
        for entry in registry() {
            let _ = entry.build::<f64>(&options);
        }
    }
}
