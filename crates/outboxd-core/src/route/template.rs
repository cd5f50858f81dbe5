//! The topic template: text with variables, taken apart once.

use super::{RouteInput, is_topic_char};

/// A checked template.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    AggregateType,
    EventType,
}

/// A template that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TemplateError {
    #[error("is empty")]
    Empty,
    #[error("unknown variable ${{{name}}}; {hint}")]
    UnknownVariable { name: String, hint: String },
    #[error("a variable is not closed with '}}'")]
    Unclosed,
    #[error("{0:?} cannot be part of a topic name; a variable is written ${{aggregatetype}}")]
    Character(char),
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            parts.extend(literal(before)?);
            let (name, after) = after.split_once('}').ok_or(TemplateError::Unclosed)?;
            parts.push(variable(name)?);
            rest = after;
        }
        parts.extend(literal(rest)?);
        if parts.is_empty() { Err(TemplateError::Empty) } else { Ok(Self(parts)) }
    }

    /// Appends the topic of an event.
    /// Names the variable that the event has no value for.
    pub(super) fn expand(
        &self,
        input: RouteInput<'_>,
        topic: &mut String,
    ) -> Result<(), &'static str> {
        for part in &self.0 {
            topic.push_str(match part {
                Part::Text(text) => text,
                Part::AggregateType => input.aggregate_type.ok_or("aggregatetype")?,
                Part::EventType => input.event_type.ok_or("type")?,
            });
        }
        Ok(())
    }
}

fn literal(text: &str) -> Result<Option<Part>, TemplateError> {
    match text.chars().find(|&character| !is_topic_char(character)) {
        Some(character) => Err(TemplateError::Character(character)),
        None => Ok((!text.is_empty()).then(|| Part::Text(text.to_owned()))),
    }
}

fn variable(name: &str) -> Result<Part, TemplateError> {
    match name {
        "aggregatetype" => Ok(Part::AggregateType),
        "type" => Ok(Part::EventType),
        _ => Err(TemplateError::UnknownVariable { name: name.to_owned(), hint: hint(name) }),
    }
}

/// There are two variables, so that the likely one can be told from a few spellings.
fn hint(name: &str) -> String {
    let spelling = name.to_lowercase().replace(['_', '-', ' ', '.'], "");
    match spelling.as_str() {
        "routedbyvalue" => "Debezium's ${routedByValue} is ${aggregatetype} here".to_owned(),
        _ if spelling.starts_with("aggreg") => "did you mean ${aggregatetype}?".to_owned(),
        _ if spelling.contains("type") => "did you mean ${type}?".to_owned(),
        _ => "there are ${aggregatetype} and ${type}".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(template: &str) -> Result<String, String> {
        let input =
            RouteInput { topic: None, aggregate_type: Some("Order"), event_type: Some("Placed") };
        let mut topic = String::new();
        let template = Template::parse(template).map_err(|error| error.to_string())?;
        template.expand(input, &mut topic)?;
        Ok(topic)
    }

    #[test]
    fn puts_variables_in_their_places() {
        assert_eq!(expand("${aggregatetype}").unwrap(), "Order");
        assert_eq!(expand("a.${type}-${aggregatetype}_z").unwrap(), "a.Placed-Order_z");
        assert_eq!(expand("${type}${type}").unwrap(), "PlacedPlaced");
        assert_eq!(expand("everything").unwrap(), "everything");
    }

    #[test]
    fn an_unknown_variable_is_named_with_the_likely_one() {
        for (template, hint) in [
            ("${routedByValue}", "Debezium's ${routedByValue} is ${aggregatetype} here"),
            ("${aggregate_type}", "did you mean ${aggregatetype}?"),
            ("${aggregatetyp}", "did you mean ${aggregatetype}?"),
            ("${eventType}", "did you mean ${type}?"),
            ("${}", "there are ${aggregatetype} and ${type}"),
        ] {
            let error = expand(template).unwrap_err();
            assert_eq!(error, format!("unknown variable {template}; {hint}"));
        }
    }

    #[test]
    fn a_template_that_can_never_work_is_refused() {
        assert_eq!(expand("").unwrap_err(), "is empty");
        assert_eq!(expand("a.${type").unwrap_err(), "a variable is not closed with '}'");
        assert!(expand("a b").unwrap_err().starts_with("' ' cannot be part"));
        assert!(expand("$type").unwrap_err().starts_with("'$' cannot be part"));
    }
}
