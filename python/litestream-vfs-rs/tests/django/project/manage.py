import multiprocessing
import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
if __name__ == "__main__":
    if "SITE_START_METHOD" in os.environ:
        multiprocessing.set_start_method(os.environ["SITE_START_METHOD"])
    execute_from_command_line(sys.argv)
