"""The tab Sweep: at which strength does it break?"""
