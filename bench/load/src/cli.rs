//! `--name value` and `--flag` arguments.

use std::collections::HashMap;

/// What the command line said.
pub struct Arguments {
    /// Words without dashes, in order.
    pub words: Vec<String>,
    /// Options; flags have an empty value.
    options: HashMap<String, String>,
}

impl Arguments {
    /// Parse; an option not in `known` (with or without a value) is refused.
    pub fn parse(
        input: impl Iterator<Item = String>,
        values: &[&str],
        flags: &[&str],
    ) -> Result<Self, String> {
        let mut arguments = Self {
            words: Vec::new(),
            options: HashMap::new(),
        };
        let mut input = input.peekable();
        while let Some(word) = input.next() {
            let Some(name) = word.strip_prefix("--") else {
                arguments.words.push(word);
                continue;
            };
            if flags.contains(&name) {
                arguments.options.insert(name.to_owned(), String::new());
            } else if values.contains(&name) {
                let value = input
                    .next()
                    .ok_or_else(|| format!("--{name} needs a value"))?;
                arguments.options.insert(name.to_owned(), value);
            } else {
                return Err(format!("unknown option --{name}"));
            }
        }
        Ok(arguments)
    }

    pub fn flag(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// A number, or the default when not given.
    pub fn number(&self, name: &str, default: f64) -> Result<f64, String> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        text.parse()
            .map_err(|_| format!("--{name} {text} is not a number"))
    }
}
