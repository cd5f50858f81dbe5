//! From an event to the topic it goes to: the row's own topic, else the map, else the template.

mod pattern;
mod template;

use std::collections::BTreeMap;

use pattern::Pattern;
use template::Template;
pub use template::TemplateError;

/// How topics are chosen, as configured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TopicRules {
    /// Text with `${aggregatetype}` and `${type}` in it.
    pub template: String,
    /// Topics of single aggregate types; asked before the template.
    pub map: BTreeMap<String, String>,
    /// When not empty: the only topics that may be written, with `*` for any run of characters.
    pub allow: Vec<String>,
}

impl Default for TopicRules {
    fn default() -> Self {
        let template = "outbox.event.${aggregatetype}".to_owned();
        Self { template, map: BTreeMap::new(), allow: Vec::new() }
    }
}

/// What the topic of an event depends on.
#[derive(Clone, Copy, Debug)]
pub struct RouteInput<'a> {
    pub topic: Option<&'a str>,
    pub aggregate_type: Option<&'a str>,
    pub event_type: Option<&'a str>,
}

/// [`TopicRules`], checked.
#[derive(Clone, Debug)]
pub struct Router {
    template: Template,
    map: BTreeMap<String, String>,
    allow: Vec<Pattern>,
}

impl Router {
    pub fn new(rules: TopicRules) -> Result<Self, RouterError> {
        let router = Self {
            template: Template::parse(&rules.template)?,
            map: rules.map,
            allow: rules.allow.iter().map(|text| Pattern::new(text)).collect(),
        };
        for (aggregate_type, topic) in &router.map {
            router.check(topic).map_err(|reason| RouterError::Map {
                aggregate_type: aggregate_type.clone(),
                topic: topic.clone(),
                reason,
            })?;
        }
        Ok(router)
    }

    /// The topic of an event; `scratch` holds it when it comes from the template.
    pub fn route<'a>(
        &'a self,
        input: RouteInput<'a>,
        scratch: &'a mut String,
    ) -> Result<&'a str, RouteError> {
        let mapped = || input.aggregate_type.and_then(|it| self.map.get(it)).map(String::as_str);
        let topic = match input.topic.or_else(mapped) {
            Some(topic) => topic,
            None => {
                scratch.clear();
                self.template.expand(input, scratch).map_err(|variable| RouteError {
                    topic: String::new(),
                    reason: TopicRefused::Lacks(variable),
                })?;
                scratch
            }
        };
        match self.check(topic) {
            Ok(()) => Ok(topic),
            Err(reason) => Err(RouteError { topic: topic.to_owned(), reason }),
        }
    }

    fn check(&self, topic: &str) -> Result<(), TopicRefused> {
        check_name(topic)?;
        if self.allow.is_empty() || self.allow.iter().any(|pattern| pattern.matches(topic)) {
            Ok(())
        } else {
            Err(TopicRefused::NotAllowed)
        }
    }
}

/// The topic of an event cannot be written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("topic {topic:?} {reason}")]
pub struct RouteError {
    /// Empty where it cannot even be told.
    pub topic: String,
    pub reason: TopicRefused,
}

/// What is wrong with a topic.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TopicRefused {
    #[error("is empty")]
    Empty,
    #[error("is longer than {TOPIC_LENGTH_MAX} characters")]
    TooLong,
    #[error("is a name that Kafka reserves")]
    Reserved,
    #[error("contains {0:?}, but a topic name is made of letters, digits, '.', '_' and '-'")]
    Character(char),
    #[error("is not matched by any pattern of topic.allow")]
    NotAllowed,
    #[error("cannot be told: the row names none, and topic.template needs its {0}")]
    Lacks(&'static str),
}

/// Topic rules that cannot work.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RouterError {
    #[error("topic.template: {0}")]
    Template(#[from] TemplateError),
    #[error("topic.map.{aggregate_type}: {topic:?} {reason}")]
    Map { aggregate_type: String, topic: String, reason: TopicRefused },
}

/// Kafka's rule for topic names.
fn check_name(topic: &str) -> Result<(), TopicRefused> {
    if !topic.bytes().all(is_topic_byte) {
        let wrong = topic.chars().find(|&c| !is_topic_char(c)).unwrap_or_default();
        return Err(TopicRefused::Character(wrong));
    }
    match topic {
        "" => Err(TopicRefused::Empty),
        "." | ".." => Err(TopicRefused::Reserved),
        _ if topic.len() > TOPIC_LENGTH_MAX => Err(TopicRefused::TooLong),
        _ => Ok(()),
    }
}

fn is_topic_char(character: char) -> bool {
    u8::try_from(character).is_ok_and(is_topic_byte)
}

fn is_topic_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

const TOPIC_LENGTH_MAX: usize = 249;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(template: &str, map: &[(&str, &str)], allow: &[&str]) -> TopicRules {
        let pair = |&(a, b): &(&str, &str)| (a.to_owned(), b.to_owned());
        TopicRules {
            template: template.to_owned(),
            map: map.iter().map(pair).collect(),
            allow: allow.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    fn route(rules: TopicRules, topic: Option<&str>, kind: &str) -> Result<String, String> {
        let event_type = Some("Placed");
        route_input(rules, RouteInput { topic, aggregate_type: Some(kind), event_type })
    }

    fn route_input(rules: TopicRules, input: RouteInput<'_>) -> Result<String, String> {
        let router = Router::new(rules).map_err(|error| error.to_string())?;
        let mut scratch = "left over".to_owned();
        let routed = router.route(input, &mut scratch);
        routed.map(str::to_owned).map_err(|error| error.to_string())
    }

    #[test]
    fn without_an_aggregate_type_the_row_has_to_name_its_topic() {
        let of = |topic| RouteInput { topic, aggregate_type: None, event_type: None };
        let rules = TopicRules::default;
        assert_eq!(route_input(rules(), of(Some("mine"))).unwrap(), "mine");
        let error = route_input(rules(), of(None)).unwrap_err();
        assert!(error.contains("topic.template needs its aggregatetype"), "{error}");
        let fixed = TopicRules { template: "events".to_owned(), ..rules() };
        assert_eq!(route_input(fixed, of(None)).unwrap(), "events");
        let by_type = TopicRules { template: "${type}".to_owned(), ..rules() };
        assert!(route_input(by_type, of(None)).unwrap_err().contains("needs its type"));
    }

    #[test]
    fn the_default_is_debeziums() {
        assert_eq!(route(TopicRules::default(), None, "Order").unwrap(), "outbox.event.Order");
    }

    #[test]
    fn the_row_wins_over_the_map_and_the_map_over_the_template() {
        let rules = || rules("t.${aggregatetype}.${type}", &[("Order", "orders")], &[]);
        assert_eq!(route(rules(), Some("own"), "Order").unwrap(), "own");
        assert_eq!(route(rules(), None, "Order").unwrap(), "orders");
        assert_eq!(route(rules(), None, "order").unwrap(), "t.order.Placed");
    }

    #[test]
    fn only_legal_topic_names_pass() {
        let own = |topic: &str| route(TopicRules::default(), Some(topic), "x");
        for topic in ["a", "A.b_c-9", "...", &"x".repeat(249)] {
            assert_eq!(own(topic).unwrap(), topic);
        }
        for (topic, reason) in [
            ("", "is empty"),
            (".", "reserves"),
            ("..", "reserves"),
            ("a b", "' '"),
            ("Bestellübersicht", "'ü'"),
            ("a/b", "'/'"),
            (&"x".repeat(250), "longer than 249"),
        ] {
            let error = own(topic).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let error = route(TopicRules::default(), None, "Order Placed").unwrap_err();
        assert!(error.starts_with("topic \"outbox.event.Order Placed\" contains ' '"), "{error}");
    }

    #[test]
    fn a_list_of_allowed_topics_is_the_limit_for_rows_map_and_template() {
        let allow = &["outbox.event.*", "orders"];
        let rules = |map| rules("outbox.event.${aggregatetype}", map, allow);
        assert!(route(rules(&[]), None, "Order").is_ok());
        assert!(route(rules(&[]), Some("orders"), "Order").is_ok());
        let error = route(rules(&[]), Some("payments"), "Order").unwrap_err();
        assert_eq!(error, "topic \"payments\" is not matched by any pattern of topic.allow");
        let error = route(rules(&[("Order", "payments")]), None, "x").unwrap_err();
        assert!(error.starts_with("topic.map.Order: \"payments\" is not matched"), "{error}");
    }

    #[test]
    fn a_map_to_an_illegal_topic_is_a_configuration_error() {
        let error = Router::new(rules("t", &[("Order", "a b")], &[])).unwrap_err();
        assert!(matches!(error, RouterError::Map { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn what_passes_is_legal(topic in ".{0,260}") {
            let legal = (1..=249).contains(&topic.len())
                && topic.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
                && topic != "." && topic != "..";
            prop_assert_eq!(check_name(&topic).is_ok(), legal);
        }
    }
}
