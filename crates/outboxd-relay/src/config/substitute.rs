//! `${VAR}`, `${VAR:-x}`, `${VAR:?why}` and `$$` in text from the configuration file.
//!
//! Works on values after the file is parsed, so a variable can never add a key or a table. A lone
//! `$` stands for itself.

use std::collections::BTreeMap;

#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum SubstituteError {
    #[error("`${{` without a closing `}}`")]
    Unclosed,
    #[error("`${{{0}}}` is not of the form `${{VAR}}`, `${{VAR:-default}}` or `${{VAR:?why}}`")]
    Malformed(String),
    #[error("the environment variable {0} is not set")]
    Unset(String),
    #[error("the environment variable {name} is not set: {why}")]
    Required { name: String, why: String },
}

impl SubstituteError {
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Unclosed | Self::Malformed(_) => "write `$$` for a dollar sign meant as such",
            Self::Unset(_) => "set it, or give a default as `${VAR:-default}`",
            Self::Required { .. } => "set it, to something that is not empty",
        }
    }
}

pub(super) fn substitute(
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<String, SubstituteError> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        result.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (expression, after) = after.split_once('}').ok_or(SubstituteError::Unclosed)?;
            result.push_str(evaluate(expression, environment)?);
            rest = after;
        } else {
            result.push('$');
        }
    }
    result.push_str(rest);
    Ok(result)
}

/// Writes `text` so that [`substitute`] gives it back.
pub(super) fn escape(text: &str) -> String {
    if text.contains("${") || text.contains("$$") {
        text.replace('$', "$$")
    } else {
        text.to_owned()
    }
}

/// An empty variable counts as unset, as in the shell's `:-` and `:?`; only a plain `${VAR}` may be
/// empty.
fn evaluate<'a>(
    expression: &'a str,
    environment: &'a BTreeMap<String, String>,
) -> Result<&'a str, SubstituteError> {
    let name_end = expression.find(':').unwrap_or(expression.len());
    let (name, operation) = expression.split_at(name_end);
    if !is_name(name) {
        return Err(SubstituteError::Malformed(expression.to_owned()));
    }
    let value = environment.get(name).map(String::as_str);
    let filled = value.filter(|value| !value.is_empty());
    if operation.is_empty() {
        value.ok_or_else(|| SubstituteError::Unset(name.to_owned()))
    } else if let Some(default) = operation.strip_prefix(":-") {
        Ok(filled.unwrap_or(default))
    } else if let Some(why) = operation.strip_prefix(":?") {
        filled
            .ok_or_else(|| SubstituteError::Required { name: name.to_owned(), why: why.to_owned() })
    } else {
        Err(SubstituteError::Malformed(expression.to_owned()))
    }
}

fn is_name(name: &str) -> bool {
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    word && !name.is_empty() && !name.as_bytes()[0].is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment() -> BTreeMap<String, String> {
        [("USER", "app"), ("EMPTY", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    fn result(text: &str) -> Result<String, SubstituteError> {
        substitute(text, &environment())
    }

    #[test]
    fn replaces_variables() {
        assert_eq!(result("postgres://${USER}@db").as_deref(), Ok("postgres://app@db"));
        assert_eq!(result("${USER}${USER}").as_deref(), Ok("appapp"));
        assert_eq!(result("[${EMPTY}]").as_deref(), Ok("[]"));
        assert_eq!(result("${EMPTY:-x:y}").as_deref(), Ok("x:y"));
        assert_eq!(result("${NONE:-}").as_deref(), Ok(""));
        assert_eq!(result("${USER:-x}${USER:?why}").as_deref(), Ok("appapp"));
    }

    #[test]
    fn leaves_dollars_that_mean_nothing() {
        assert_eq!(result("$5 $USER $").as_deref(), Ok("$5 $USER $"));
        assert_eq!(result("$${USER}").as_deref(), Ok("${USER}"));
        assert_eq!(result("$$$${USER}$$").as_deref(), Ok("$${USER}$"));
    }

    #[test]
    fn does_not_look_into_what_it_inserted() {
        let environment = [("A".to_owned(), "${B}$$".to_owned())].into();
        assert_eq!(substitute("${A}", &environment).as_deref(), Ok("${B}$$"));
    }

    #[test]
    fn names_what_is_missing_or_malformed() {
        use SubstituteError::{Malformed, Required, Unclosed, Unset};
        assert_eq!(result("${NONE}"), Err(Unset("NONE".to_owned())));
        let required = Required { name: "EMPTY".to_owned(), why: "set it".to_owned() };
        assert_eq!(result("${EMPTY:?set it}"), Err(required));
        assert_eq!(result("a${USER"), Err(Unclosed));
        for text in ["", "1A", "a.b", "A:=x", "A:", " A"] {
            assert_eq!(result(&format!("${{{text}}}")), Err(Malformed(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn escaped_text_comes_back(text in "[${}a:-]{0,12}") {
            prop_assert_eq!(substitute(&escape(&text), &BTreeMap::new()), Ok(text));
        }
    }
}
