from .report import Report as Report
from .report import write_page as write_page
