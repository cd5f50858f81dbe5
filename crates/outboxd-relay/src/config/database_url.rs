//! What the configuration itself needs to know of a `postgres://` URL: the database, a parameter,
//! and how to show it without its password. Connecting is not its business.

use percent_encoding::percent_decode_str;

#[derive(Clone, Copy)]
pub(super) struct DatabaseUrl<'a> {
    user: &'a str,
    database: &'a str,
    query: &'a str,
}

impl<'a> DatabaseUrl<'a> {
    /// `None`: not a `postgres://` URL.
    pub(super) fn parse(url: &'a str) -> Option<Self> {
        let rest = SCHEMES.iter().find_map(|scheme| url.strip_prefix(scheme))?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = address.split_once('/').unwrap_or((address, ""));
        let login = authority.rsplit_once('@').map_or("", |(login, _)| login);
        let user = login.split_once(':').map_or(login, |(user, _)| user);
        Some(Self { user, database, query })
    }

    /// The database, by Postgres's rule the one named as the user when none is given.
    pub(super) fn database(&self) -> Option<String> {
        let named = [Some(decode(self.database)), self.parameter("dbname")];
        let user = [Some(decode(self.user)), self.parameter("user")];
        named.into_iter().chain(user).flatten().find(|name| !name.is_empty())
    }

    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.rev().find(|(key, _)| *key == name).map(|(_, value)| decode(value))
    }
}

/// The URL with its password as `***`. Where the password's end is in doubt, because it holds a
/// reserved character that should have been encoded, more is hidden rather than less.
pub(super) fn masked(url: &str) -> String {
    let scheme_end = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(scheme_end);
    let (login, tail) = match rest.rfind('@') {
        Some(at) => rest.split_at(at),
        None => ("", rest),
    };
    let login = match login.find(':') {
        Some(colon) => format!("{}:***", &login[..colon]),
        None => login.to_owned(),
    };
    format!("{scheme}{login}{}", mask_parameters(tail))
}

fn mask_parameters(tail: &str) -> String {
    let Some((address, query)) = tail.split_once('?') else { return tail.to_owned() };
    let mask = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if name.contains("password") => format!("{name}=***"),
        _ => pair.to_owned(),
    };
    let pairs: Vec<String> = query.split('&').map(mask).collect();
    format!("{address}?{}", pairs.join("&"))
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_database() {
        for (url, database) in [
            ("postgres://app:pw@db:5432/shop?sslmode=require", Some("shop")),
            ("postgresql://app@a,b:5433/My%20Shop", Some("My Shop")),
            ("postgres://app@db", Some("app")),
            ("postgres:///?host=/run/postgresql&dbname=shop&user=app", Some("shop")),
            ("postgres:///?user=app", Some("app")),
            ("postgres://db:5432/", None),
        ] {
            let parsed = DatabaseUrl::parse(url).unwrap();
            assert_eq!(parsed.database().as_deref(), database, "{url}");
        }
        assert!(DatabaseUrl::parse("host=db dbname=shop").is_none());
        assert!(DatabaseUrl::parse("mysql://db/shop").is_none());
    }

    #[test]
    fn the_last_of_a_repeated_parameter_counts() {
        let url = DatabaseUrl::parse("postgres://db/x?sslmode=a&sslmode=verify%2Dfull").unwrap();
        assert_eq!(url.parameter("sslmode").as_deref(), Some("verify-full"));
        assert_eq!(url.parameter("host"), None);
    }

    #[test]
    fn hides_the_password() {
        for (url, shown) in [
            ("postgres://app:pw@db/shop", "postgres://app:***@db/shop"),
            ("postgres://app@db:5432/shop", "postgres://app@db:5432/shop"),
            ("postgres://db:5432/shop", "postgres://db:5432/shop"),
            ("postgres:///x?user=a&password=pw&port=1", "postgres:///x?user=a&password=***&port=1"),
            ("postgres://db/x?sslpassword=pw", "postgres://db/x?sslpassword=***"),
        ] {
            assert_eq!(masked(url), shown);
        }
    }

    #[test]
    fn hides_a_password_with_reserved_characters() {
        for password in ["p@w", "p/w", "p?w", "p:w", "p#w", "p&w=x", "a?password=b@c"] {
            let shown = masked(&format!("postgres://app:{password}@db/shop"));
            assert_eq!(shown, "postgres://app:***@db/shop");
        }
    }
}
