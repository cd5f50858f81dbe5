//! Another database on the same server.

/// The URL with this database in place of the one that it names, in its path or as `dbname`.
pub(super) fn with_database(url: &str, database: &str) -> String {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let authority_at = address.find("://").map_or(0, |at| at + 3);
    let authority_end =
        address[authority_at..].find('/').map_or(address.len(), |at| authority_at + at);
    let kept: Vec<&str> =
        query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("dbname=")).collect();
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    format!("{}/{database}{query}", &address[..authority_end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_changes() {
        for (url, other) in [
            (
                "postgres://app:pw@db:5432/shop?sslmode=require",
                "postgres://app:pw@db:5432/x?sslmode=require",
            ),
            ("postgresql://app@a,b:5433/My%20Shop", "postgresql://app@a,b:5433/x"),
            ("postgres://app@db", "postgres://app@db/x"),
            ("postgres://app@db?sslmode=disable", "postgres://app@db/x?sslmode=disable"),
            (
                "postgres:///?host=/run/postgresql&dbname=shop&user=app",
                "postgres:///x?host=/run/postgresql&user=app",
            ),
        ] {
            assert_eq!(with_database(url, "x"), other);
        }
    }
}
