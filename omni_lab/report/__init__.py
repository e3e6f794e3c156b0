"""Self-contained HTML pages: the run report and its clip player, word losses of captions."""

from omni_lab.faces import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "page": "FilmPlayer",
        "run_report": "write_report",
        "svlm_page": "write_svlm_page",
    },
)
