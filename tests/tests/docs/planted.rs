//! Pages that are wrong on purpose: whoever reads them must notice.

use anyhow::{Result, ensure};

use crate::reader::follow;

#[tokio::test]
async fn a_broken_snippet_is_noticed() -> Result<()> {
    let broken = [
        ("```sql\nselect 1 from nowhere;\n```\n", "relation \"nowhere\" does not exist"),
        ("```sql\nselect 1/0; select 2;\n```\n", "division by zero"),
        (
            "```sql\nselect 1 as one;\n```\n```text\n one\n-----\n   2\n(1 row)\n```\n",
            "the page says",
        ),
        ("```sh\nfalse\ntrue\n```\n", "failed"),
        ("```sh\nfalse | true\n```\n", "failed"),
        ("```sh\necho \"$NOT_EXPORTED\"\n```\n", "NOT_EXPORTED"),
        ("```sh\noutboxd no-such-command\n```\n", "unrecognized subcommand"),
        ("<!-- fails -->\n```sh\ntrue\n```\n", "should fail"),
        ("```toml\n[source]\nslots = \"a\"\n```\n", "source.slots"),
    ];
    for (page, said) in broken {
        let error = follow(page).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(error.contains(said), "{page:?} was read as {error:?}");
        ensure!(error.contains("line "), "{error:?} does not say where");
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_that_stops_is_noticed() -> Result<()> {
    let page = "```sh\noutboxd run --kafka kafka:9092\n```\n";
    let error = follow(page).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(error.contains("error[table_missing]"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_sound_page_is_counted() -> Result<()> {
    let page = "```sh\nexport GREETING=hello\n```\n```sh\necho $GREETING; echo aside >&2\n```\n\
                ```text\nhel…\n```\n<!-- not run: a picture -->\n```text\n:-)\n```\n\
                <!-- fails -->\n```sql\nselect 1/0;\n```\n```text\n…division by zero\n```\n";
    let report = follow(page).await?;
    ensure!(report.run == 3 && report.not_run.len() == 1, "{report}");
    Ok(())
}
