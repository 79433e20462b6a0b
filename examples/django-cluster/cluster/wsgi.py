import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cluster.settings")
# Serves the files of the admin. A real site has a web server or WhiteNoise for them.
application = StaticFilesHandler(get_wsgi_application())
