"""What pages for browsers share: plain, self-contained documents without scripts."""

import html


def html_page(title: str, style: str, body: str) -> str:
    """A whole HTML document.

    Parameters
    ----------
    title : plain text.
    style : CSS.
    body : HTML.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
