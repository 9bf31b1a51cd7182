"""A report in a cell of a notebook."""

from typing import Any

from gradlab.report.overview import overview
from gradlab.report.text import HEADERS, SUSPECTS, problem_fields, suspects_text

COLOURS = {
    "pass": "#1a7f37",
    "kink": "#1a7f37",
    "warning": "#9a6700",
    "inconclusive": "#8250df",
    "wrong": "#cf222e",
}
# More lines than this are shown when they are asked for.
SHOWN = 30
CELL = """\
<div>
<p><strong style="color: {{ colours[view.verdict] }}">{{ view.headline }}</strong></p>
{% for problem in view.problems %}
{% if view.problems | length > 1 %}<p><strong>{{ problem.title_line }}</strong></p>{% endif %}
<table>{% for label, value in fields(problem) %}
<tr><th scope="row" style="text-align: left">{{ label }}</th><td style="text-align: left">{{ value }}</td></tr>
{% endfor %}</table>
{% endfor %}
{% for repair in view.repairs if repair.diff %}<pre>{{ repair.diff }}</pre>{% endfor %}
{% if suspects %}<p>{{ suspected }}</p><pre>{{ suspects | join("\n") }}</pre>{% endif %}
<details{{ " open" if view.lines | length <= shown }}><summary>{{ view.closing }}</summary>
<table>
<tr>{% for header in headers %}<th scope="col" style="text-align: left">{{ header }}</th>{% endfor %}</tr>
{% for line in view.lines %}
<tr>
{% for cell in (line.what, line.input, line.error) %}<td style="text-align: left">{{ cell }}</td>{% endfor %}
<td style="text-align: left; color: {{ colours[line.verdict] }}">{{ line.verdict }}</td>
<td style="text-align: left">{{ line.reason }}</td>
</tr>
{% endfor %}
</table></details>
</div>
"""


def cell(report: Any) -> str:
    """Return a report as HTML for a notebook: the verdict, what is wrong and what to change, and the table."""
    from jinja2 import Environment

    template = Environment(autoescape=True, trim_blocks=True).from_string(CELL)
    view = overview(report)
    told = {"suspects": suspects_text(view.repairs), "suspected": SUSPECTS, "fields": problem_fields}
    return template.render(view=view, headers=HEADERS, colours=COLOURS, shown=SHOWN, **told)
