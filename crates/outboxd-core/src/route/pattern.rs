//! A pattern of topic names, in which `*` stands for any run of characters, none included.

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pattern(String);

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Takes each piece between stars where it first occurs; what a star took can only grow, so
    /// nothing has to be tried twice.
    pub(super) fn matches(&self, topic: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == topic };
        let Some(mut topic) = topic.strip_prefix(first) else { return false };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        for piece in middle.split('*') {
            let Some((_, after)) = topic.split_once(piece) else { return false };
            topic = after;
        }
        topic.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tries every length for every star.
    fn matches_slowly(pattern: &[u8], topic: &[u8]) -> bool {
        match pattern.split_first() {
            None => topic.is_empty(),
            Some((b'*', rest)) => (0..=topic.len()).any(|n| matches_slowly(rest, &topic[n..])),
            Some((byte, rest)) => topic.first() == Some(byte) && matches_slowly(rest, &topic[1..]),
        }
    }

    #[test]
    fn a_star_is_any_run_of_characters() {
        for (pattern, topic, expected) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("*", "", true),
            ("outbox.*", "outbox.event.Order", true),
            ("outbox.*", "outbox", false),
            ("*.Order", "outbox.event.Order", true),
            ("a*a", "a", false),
            ("", "a", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(topic), expected, "{pattern} {topic}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_trying_everything(pattern in "[ab*]{0,7}", topic in "[ab]{0,8}") {
            let expected = matches_slowly(pattern.as_bytes(), topic.as_bytes());
            prop_assert_eq!(Pattern::new(&pattern).matches(&topic), expected);
        }
    }
}
