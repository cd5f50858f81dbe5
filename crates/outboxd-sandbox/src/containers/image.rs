//! Which image a server runs from: the official one, unless the environment names another.

use std::env;

use testcontainers::GenericImage;

use crate::PgVersion;

/// `OUTBOXD_POSTGRES_IMAGE_<major>` for one version, `OUTBOXD_POSTGRES_IMAGE` for all of them.
pub(crate) fn postgres(version: PgVersion) -> GenericImage {
    let name = variable(&format!("OUTBOXD_POSTGRES_IMAGE_{version}"))
        .or_else(|| variable("OUTBOXD_POSTGRES_IMAGE"))
        .unwrap_or_else(|| format!("postgres:{version}"));
    parse(&name)
}

/// `OUTBOXD_KAFKA_IMAGE`.
pub(crate) fn kafka() -> GenericImage {
    parse(&variable("OUTBOXD_KAFKA_IMAGE").unwrap_or_else(|| "apache/kafka:4.1.1".to_owned()))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Testcontainers joins name and tag by a colon again, which also suits a digest.
fn parse(image: &str) -> GenericImage {
    match image.rsplit_once(':') {
        // A colon before the last slash belongs to the port of a registry.
        Some((name, tag)) if !tag.contains('/') => GenericImage::new(name, tag),
        _ => GenericImage::new(image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use testcontainers::Image;

    use super::*;

    #[test]
    fn the_tag_is_what_follows_the_last_colon_of_the_last_segment() {
        for (image, name, tag) in [
            ("postgres:17", "postgres", "17"),
            ("postgres", "postgres", "latest"),
            ("registry:5000/postgres", "registry:5000/postgres", "latest"),
            ("registry:5000/team/postgres:17.2", "registry:5000/team/postgres", "17.2"),
            ("kafka@sha256:0a1b", "kafka@sha256", "0a1b"),
        ] {
            let parsed = parse(image);
            assert_eq!((parsed.name(), parsed.tag()), (name, tag), "{image}");
        }
    }
}
